"""Check a COCO json and its images before training or testing on them.

Errors (exit code 1) are what `mmood.ops.coco_problems` finds, records that
are refused and boxes that a training leaves out, then missing or unreadable
images, sizes which differ from the files, and objects of an in-distribution
(ID) class in a set meant as out-of-distribution. Warnings (exit code 0): see
``WARNINGS``.
"""

from __future__ import annotations

import argparse
import collections
import os
from collections.abc import Sequence
from pathlib import Path

from coco_json import (
    add_id_arguments,
    canonical,
    existing_dir,
    id_classes,
    load_json,
    print_report,
    summary,
    write_json,
)
from tqdm import tqdm

from mmood.ops import coco_problems, image_size
from mmood.ops.coco import NAMED, REFUSED
from mmood.ops.coco_records import FIELDS, record_problems
from mmood.ops.images import UPRIGHT, open_image, orientation

ERRORS = {
    **REFUSED,
    **NAMED,
    'missing_images': 'missing images',
    'unreadable_images': 'unreadable images',
    'size_mismatch': 'image sizes which differ from the json',
    'id_objects': 'objects of ID classes in an OOD set',
}
WARNINGS = {
    'empty_classes': 'classes without annotation',
    'empty_images': 'images without annotation',
    'rotated_images': 'images with an EXIF rotation, which some readers apply',
    'repeated_boxes': 'boxes that an image has twice for one class',
    'incomplete': 'annotations whose area, iscrowd or id is filled in here; '
    "mmdet's own CocoDataset leaves out those of area 0",
    'id_zero': 'annotation id 0, which pycocotools takes for "no match"',
}
SHOWN = 5


def sound_records(content: object) -> dict:
    """The lists of a COCO json without what is no record of theirs."""
    lists = {key: [] for key in FIELDS}
    for key in lists if isinstance(content, dict) else ():
        fields = dict(FIELDS[key])
        if key == 'annotations':
            del fields['id']  # which may be missing
        records = content.get(key)
        for record in records if isinstance(records, list) else ():
            if next(record_problems('', record, fields), None) is None:
                lists[key].append(record)
    return lists


def check_image(image: dict, root: Path, read: bool) -> tuple[str, str] | None:
    """The first problem of an image file: (kind, text), or None."""
    path, name = root / image['file_name'], image['file_name']
    if not os.path.isfile(path):
        return 'missing_images', name
    try:
        size = image_size(path)
        with open_image(path) as file:
            turned = orientation(file) != UPRIGHT
            if read:
                file.load()
    except OSError as error:
        return 'unreadable_images', f'{name}: {error}'
    stated = (image['width'], image['height'])
    if size != stated:
        text = f'{stated[0]}x{stated[1]} in the json'
        text += ', not turned as its EXIF says' * (
            turned and size == stated[::-1]
        )
        return 'size_mismatch', f'{name}: {size[0]}x{size[1]}, {text}'
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


def check_annotations(annotations: Sequence[dict]) -> dict[str, list[str]]:
    """Boxes that are there twice, and annotations that lack something."""
    counts = collections.Counter(
        (a['image_id'], a['category_id'], tuple(a['bbox']))
        for a in annotations
    )
    repeated = [
        f'image {image}, category {category}: {list(box)}, {count} times'
        for (image, category, box), count in counts.items()
        if count > 1
    ]
    lacking = [
        f'annotation {a.get("id")} of image {a["image_id"]}'
        for a in annotations
        if not a.get('area') or None in (a.get('id'), a.get('iscrowd'))
    ]
    return {'repeated_boxes': repeated, 'incomplete': lacking}


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
            if annotation.get('id') == 0
        ],
    }


def verify(
    content: object,
    image_root: Path | None = None,
    id_names: Sequence[str] = (),
    *,
    read: bool = False,
    tolerance: float = 1.0,
) -> dict:
    """All checks: ``{'errors', 'warnings', 'counts'}``, lists by kind.

    Records that are none are named once and looked at no further. Without
    ``image_root`` the image files are not looked at.
    """
    found: dict[str, list[str]] = collections.defaultdict(list)
    for problem in coco_problems(content, tolerance):
        found[problem.kind].append(problem.text)
    coco = sound_records(content)
    found.update(check_empty(coco))
    found.update(check_annotations(coco['annotations']))
    found['id_objects'] = check_ood(coco, id_names)
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
    content = load_json(args.ann_file, 'ann_file')
    result = verify(
        content, root, names, read=args.read, tolerance=args.tolerance
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
