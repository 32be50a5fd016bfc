"""COCO json -> the COCO part of VOC-COCO, images for open-set detection.

VOC-COCO (Han et al., "Expanding Low-Density Latent Regions for Open-Set
Object Detection", CVPR 2022, Section 4.1) tests on VOC 2007 test together
with COCO images that show classes which a detector trained on VOC does not
know: 20, 40 or 60 of them. This tool draws the COCO images by the rule of the
published scripts (GitHub, csuhan/opendet2), where all are of train2017:

- An image may be drawn if it holds an object of the unknown classes, none of
  the classes that are neither known nor unknown, and no person.
- Of each class in such images, known ones too, the same share of its objects
  is drawn, 8,000 in all for 20 unknown classes. From the images that hold
  them, 5,000 are drawn.
- The series in the number of images (``--without-known``) has images without
  any known class, drawn with equal chances.

The draw was published without a seed: only ``--image-list`` with the authors'
list gives the very set. Names are compared through ``coco_json.ALIASES``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from coco_json import (
    fail,
    load_coco,
    print_report,
    read_list,
    summary,
    write_json,
)
from coco_ood import (
    find_images,
    match_categories,
    take_images,
)
from voc import CLASSES
from voc_coco_rule import (
    GROUPS,
    IMAGES,
    Rule,
    allowed_images,
    compare,
    draw_images,
    make_rule,
    published_images,
)


def merge(cocos: Sequence[dict], folders: Sequence[str]) -> dict:
    """One json of several, file names in the folders; ids stay as they are.

    Ends the tool if the jsons name categories differently or share ids.
    """
    first = cocos[0]
    names = [
        {c['id']: c['name'] for c in coco['categories']} for coco in cocos
    ]
    if any(others != names[0] for others in names):
        fail('the jsons have different categories: build one set from each')
    images = [
        {**image, 'file_name': f'{folder}/{image["file_name"]}'.lstrip('/')}
        for coco, folder in zip(cocos, folders or [''] * len(cocos))
        for image in coco['images']
    ]
    annotations = [a for coco in cocos for a in coco['annotations']]
    for key, records in (('images', images), ('annotations', annotations)):
        if len({record['id'] for record in records}) < len(records):
            fail(f'ids of {key} occur twice in the json(s); verify.py on each')
    if len({image['file_name'] for image in images}) < len(images):
        fail('the jsons have images of one file name; tell with --folders')
    return {**first, 'images': images, 'annotations': annotations}


def listed_images(
    coco: dict, entries: Sequence[str]
) -> tuple[set, list[str], int]:
    """Ids of listed images, entries not found, number of VOC's entries.

    The published lists begin with the images of VOC 2007, six digits each.
    """
    wanted = {e for e in entries if not re.fullmatch(r'0\d{5}', e)}
    found = find_images(coco, wanted)
    voc = sum(entry not in wanted for entry in entries)
    return set(found.values()), sorted(wanted - set(found)), voc


def as_boxes(coco: dict, known: Sequence[str], crowd: str) -> dict:
    """Boxes without outlines; known classes under the names given."""
    annotations = []
    for annotation in coco['annotations']:
        flag = int(bool(annotation.get('iscrowd')))
        if flag and crowd == 'drop':
            continue
        box = {k: v for k, v in annotation.items() if k != 'segmentation'}
        box.update(crowd=flag, iscrowd=flag if crowd == 'ignore' else 0)
        annotations.append(box)
    matched = match_categories(coco['categories'], known)
    names = {i: name for name, ids in matched.items() for i in ids}
    categories = [
        {**category, 'name': names.get(category['id'], category['name'])}
        for category in coco['categories']
    ]
    return {**coco, 'annotations': annotations, 'categories': categories}


def choose(
    coco: dict, rule: Rule, args: argparse.Namespace
) -> tuple[set, dict, list[str]]:
    """Ids of the part's images, what to report, and what is wrong."""
    allowed = allowed_images(coco, rule)
    report = {
        'images read': len(coco['images']),
        'images that the rule allows': len(allowed),
    }
    if not args.image_list:
        if not allowed:
            fail(
                'no image may be drawn by the rule: see --barred and verify.py'
            )
        by_objects = not args.without_known
        ids = draw_images(coco, allowed, args.images, by_objects, args.seed)
        if not ids:
            fail(
                f'--images {args.images} draws less than one object of every '
                'class, so none: ask for more'
            )
        return ids, report, []
    entries = read_list(args.image_list, '--image-list')
    ids, absent, voc = listed_images(coco, entries)
    if not ids:
        fail(f'--image-list: no entry of {args.image_list} is in the json')
    report['entries of VOC 2007, left out'] = voc
    problems = []
    if absent:
        problems.append(
            f'{len(absent):,} entries of --image-list are not in the json: '
            f'{", ".join(absent[:5])} ...'
        )
    if ids - allowed:
        problems.append(
            f'{len(ids - allowed):,} images of --image-list are none that '
            'the rule allows: is it the list of other classes?'
        )
    return ids, report, problems


def add_class_arguments(parser: argparse.ArgumentParser) -> None:
    """Which classes are known, unknown, or keep an image out."""
    unknown = parser.add_mutually_exclusive_group(required=True)
    unknown.add_argument(
        '--groups',
        nargs='+',
        type=int,
        choices=range(1, len(GROUPS) + 1),
        help='unknown classes: 1 for VOC-COCO-20, 1 2 for 40, 1 2 3 for 60',
    )
    unknown.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='names of the unknown classes; quote a name with a space',
    )
    parser.add_argument(
        '--known',
        nargs='+',
        default=CLASSES,
        metavar='NAME',
        help="known classes (default: VOC's)",
    )
    parser.add_argument(
        '--barred',
        nargs='*',
        default=('person',),
        metavar='NAME',
        help='classes that no drawn image may hold, known or not (default: '
        'person)',
    )
    parser.add_argument(
        '--without-known',
        action='store_true',
        help='images without any known class: the series in the number of '
        'images, with --groups 1 2 3 and --images 2500, 5000, 10000 or 20000',
    )


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Make the COCO part of VOC-COCO, a COCO json with the '
        'objects of known and unknown classes.'
    )
    parser.add_argument(
        'ann_files',
        nargs='+',
        metavar='ann_file',
        help='COCO json; the published sets are from instances_train2017.json',
    )
    parser.add_argument('out', help='json to write')
    add_class_arguments(parser)
    parser.add_argument(
        '--images',
        type=int,
        help=f'how many to draw at most (default: {IMAGES} for each of '
        '--groups)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the draw')
    parser.add_argument(
        '--image-list',
        metavar='FILE',
        help='take these images in place of a draw: ids or file names, one a '
        'line, such as the published lists; entries of VOC 2007 are left out',
    )
    parser.add_argument(
        '--folders',
        nargs='+',
        default=[],
        metavar='NAME',
        help='image folder of each ann_file, put before the file names',
    )
    parser.add_argument(
        '--crowd',
        choices=('keep', 'ignore', 'drop'),
        default='keep',
        help='boxes around a crowd: ordinary boxes, as in the published sets '
        '(default); ignore marks them iscrowd=1; drop leaves them out',
    )
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing and exit with 1 if the number of images is not '
        'the published one or the list does not fit',
    )
    return check_args(parser.parse_args(argv))


def check_args(args: argparse.Namespace) -> argparse.Namespace:
    """Fill in ``images``, or end the tool with what is missing."""
    if args.folders and len(args.folders) != len(args.ann_files):
        fail(
            f'--folders needs a name for each of {len(args.ann_files)} '
            f'ann_file(s), got {len(args.folders)}'
        )
    if args.images is not None and args.images < 1:
        fail(f'--images must be 1 or more, got {args.images}')
    if args.groups:
        args.groups = sorted(set(args.groups))
    if args.images or args.image_list:
        return args
    if args.classes or args.without_known:
        what = '--classes' if args.classes else '--without-known'
        fail(f'{what} needs --images, how many to draw at most')
    args.images = IMAGES * len(args.groups)
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    cocos = [load_coco(path, 'ann_file') for path in args.ann_files]
    coco = merge(cocos, args.folders)
    unknown = args.classes or [n for g in args.groups for n in GROUPS[g - 1]]
    rule = make_rule(
        coco, unknown, args.known, args.barred, args.without_known
    )
    ids, report, problems = choose(coco, rule, args)
    expected = published_images(
        args.groups or (), args.without_known, args.images, len(ids)
    )
    problems += compare(len(ids), expected, len(coco['images']))
    if args.check and expected is None:
        problems.append('no count is published for these classes and --images')
    if args.check and problems:
        fail('; '.join(problems))
    everything = {category['id'] for category in coco['categories']}
    part = take_images(coco, ids, everything)
    part = as_boxes(part, args.known, args.crowd)
    write_json(part, args.out)
    report['images published'] = expected or 'no count'
    report['boxes of known classes'] = count_boxes(part, rule.known)
    report['boxes of unknown classes'] = count_boxes(part, rule.unknown)
    print_report({**report, **summary(part)}, f'wrote {args.out}')
    for problem in problems:
        print(f'WARNING: {problem}')


def count_boxes(coco: dict, category_ids: frozenset) -> int:
    return sum(a['category_id'] in category_ids for a in coco['annotations'])


if __name__ == '__main__':
    main()
