"""Check a COCO json and its images before training or testing on them.

Errors (exit code 1): missing or unreadable images, sizes which differ from
the files, boxes which are empty or outside the image, unknown category or
image ids, duplicate ids, and objects of an in-distribution (ID) class in a
set meant as out-of-distribution. Warnings (exit code 0): see ``WARNINGS``.
"""

from __future__ import annotations

import argparse
import collections
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from coco_json import (
    add_id_arguments,
    canonical,
    existing_dir,
    id_classes,
    image_size,
    load_coco,
    print_report,
    summary,
    write_json,
)
from PIL import Image
from tqdm import tqdm

ERRORS = {
    'missing_images': 'missing images',
    'unreadable_images': 'unreadable images',
    'size_mismatch': 'image sizes which differ from the json',
    'bad_boxes': 'boxes empty or outside the image',
    'unknown_ids': 'annotations with an unknown image or category',
    'duplicate_ids': 'duplicate ids',
    'id_objects': 'objects of ID classes in an OOD set',
}
WARNINGS = {
    'empty_classes': 'classes without annotation',
    'empty_images': 'images without annotation',
    'rotated_images': 'images with an EXIF rotation, which some readers apply',
    'id_zero': 'annotation id 0, which pycocotools takes for "no match"',
}
SHOWN = 5
EXIF_ORIENTATION = 0x0112


def box_problem(
    box: object, width: float, height: float, tolerance: float
) -> str | None:
    """What is wrong with ``[x, y, w, h]`` in a width x height image.

    ``tolerance``: pixels by which a box may stick out (COCO's own do, after
    rounding).
    """
    try:
        x, y, w, h = (float(value) for value in box)
    except (TypeError, ValueError):
        return 'is not four numbers'
    if not all(map(math.isfinite, (x, y, w, h))):
        return 'is not finite'
    if w <= 0 or h <= 0:
        return 'has no area'
    outside = max(-x, -y, x + w - width, y + h - height)
    if outside > tolerance:
        return f'sticks out of the {width}x{height} image by {outside:g} px'
    return None


def duplicates(values: Iterable) -> list:
    counts = collections.Counter(values)
    return [value for value, count in counts.items() if count > 1]


def check_ids(coco: dict) -> dict[str, list[str]]:
    """Duplicate ids, and annotations which refer to nothing."""
    found: dict[str, list[str]] = {'duplicate_ids': [], 'unknown_ids': []}
    known = {}
    for key in ('images', 'annotations', 'categories'):
        ids = [record['id'] for record in coco[key]]
        known[key] = set(ids)
        found['duplicate_ids'] += [f'{key}: {i}' for i in duplicates(ids)]
    for annotation in coco['annotations']:
        for key, field in (
            ('images', 'image_id'),
            ('categories', 'category_id'),
        ):
            if annotation[field] not in known[key]:
                text = f'annotation {annotation["id"]}: {field}'
                found['unknown_ids'].append(f'{text} {annotation[field]}')
    return found


def check_boxes(coco: dict, tolerance: float) -> list[str]:
    """Boxes which are empty or outside their image."""
    images = {image['id']: image for image in coco['images']}
    found = []
    for annotation in tqdm(coco['annotations'], desc='boxes', disable=None):
        image = images.get(annotation['image_id'])
        if image is None:
            continue
        box, size = annotation['bbox'], (image['width'], image['height'])
        problem = box_problem(box, *size, tolerance)
        if problem:
            found.append(
                f'annotation {annotation["id"]} of {image["file_name"]}: '
                f'{box} {problem}'
            )
    return found


def check_image(image: dict, root: Path, read: bool) -> tuple[str, str] | None:
    """The first problem of an image file: (kind, text), or None."""
    path, name = root / image['file_name'], image['file_name']
    if not path.is_file():
        return 'missing_images', name
    try:
        width, height = image_size(path)
        with Image.open(path) as file:
            turned = file.getexif().get(EXIF_ORIENTATION, 1) != 1
            if read:
                file.load()
    except (OSError, SyntaxError, ValueError):
        return 'unreadable_images', name
    if (width, height) != (image['width'], image['height']):
        text = f'{image["width"]}x{image["height"]} in the json'
        return 'size_mismatch', f'{name}: {width}x{height}, {text}'
    return ('rotated_images', name) if turned else None


def check_images(
    coco: dict, root: Path, read: bool = False
) -> dict[str, list[str]]:
    """Problems of the image files; ``read`` decodes them to the end."""
    found = collections.defaultdict(list)
    for image in tqdm(coco['images'], desc='images', disable=None):
        problem = check_image(image, root, read)
        if problem:
            found[problem[0]].append(problem[1])
    return found


def check_ood(coco: dict, id_names: Sequence[str]) -> list[str]:
    """Classes of an OOD set which are ID classes and have objects."""
    wanted = {canonical(name) for name in id_names}
    names = {
        category['id']: category['name'] for category in coco['categories']
    }
    objects, images = collections.Counter(), collections.defaultdict(set)
    for annotation in coco['annotations']:
        name = names.get(annotation['category_id'])
        if name is not None and canonical(name) in wanted:
            objects[name] += 1
            images[name].add(annotation['image_id'])
    return [
        f'{name}: {count} objects in {len(images[name])} images'
        for name, count in objects.items()
    ]


def check_empty(coco: dict) -> dict[str, list[str]]:
    """Classes and images without annotation, and annotation id 0."""
    used = {annotation['category_id'] for annotation in coco['annotations']}
    annotated = {annotation['image_id'] for annotation in coco['annotations']}
    return {
        'empty_classes': [
            c['name'] for c in coco['categories'] if c['id'] not in used
        ],
        'empty_images': [
            i['file_name'] for i in coco['images'] if i['id'] not in annotated
        ],
        'id_zero': [
            f'image {annotation["image_id"]}'
            for annotation in coco['annotations']
            if annotation['id'] == 0
        ],
    }


def verify(
    coco: dict,
    image_root: Path | None = None,
    id_names: Sequence[str] = (),
    *,
    read: bool = False,
    tolerance: float = 1.0,
) -> dict:
    """All checks: ``{'errors', 'warnings', 'counts'}``, lists by kind.

    Without ``image_root`` the image files are not looked at.
    """
    found: dict[str, list[str]] = {
        **check_ids(coco),
        **check_empty(coco),
        'bad_boxes': check_boxes(coco, tolerance),
        'id_objects': check_ood(coco, id_names),
    }
    if image_root is not None:
        found.update(check_images(coco, image_root, read))
    return {
        'errors': {kind: found[kind] for kind in ERRORS if found.get(kind)},
        'warnings': {k: found[k] for k in WARNINGS if found.get(k)},
        'counts': summary(coco),
    }


def print_findings(title: str, findings: dict, texts: dict) -> None:
    print(f'{title}:' if findings else f'{title}: none')
    for kind, items in findings.items():
        more = [f'and {len(items) - SHOWN} more'] * (len(items) > SHOWN)
        print(f'  {texts[kind]}: {len(items)}')
        for item in [*items[:SHOWN], *more]:
            print(f'    {item}')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Check a COCO json; the exit code is 1 if it has errors.'
    )
    parser.add_argument('ann_file', help='COCO json to check')
    parser.add_argument(
        '--image-root',
        metavar='DIR',
        help='folder to which the file names are relative; without it the '
        'images are not looked at',
    )
    parser.add_argument(
        '--read',
        action='store_true',
        help='decode every image instead of reading its header only',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1.0,
        metavar='PX',
        help='pixels by which a box may stick out of its image (default: 1)',
    )
    add_id_arguments(parser)
    parser.add_argument(
        '--report', metavar='FILE', help='also write all findings as json'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    root, names = args.image_root, id_classes(args)
    if root is not None:
        root = existing_dir(root, '--image-root')
    coco = load_coco(args.ann_file, 'ann_file')
    result = verify(
        coco, root, names, read=args.read, tolerance=args.tolerance
    )
    print_report(result['counts'], str(args.ann_file))
    if root is None:
        print('images not looked at: no --image-root')
    print_findings('warnings', result['warnings'], WARNINGS)
    print_findings('errors', result['errors'], ERRORS)
    if args.report:
        write_json(result, args.report)
    return int(bool(result['errors']))


if __name__ == '__main__':
    raise SystemExit(main())
