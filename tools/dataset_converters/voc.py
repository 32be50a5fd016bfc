"""VOC's xml -> COCO json: PASCAL VOC's devkit, or a folder of own xml.

``--split 2007:trainval`` reads ``VOC<year>/{Annotations/*.xml,
ImageSets/Main/<set>.txt}`` of a devkit. Class names and their order are then
those of the VOS benchmark (Du et al., "VOS: Learning What You Don't Know by
Virtual Outlier Synthesis", ICLR 2022), which writes VOC's names the way COCO
does. Without ``--split`` all xml below the folder are read and class names
stay as they are written.
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable, Sequence
from pathlib import Path

from coco_json import (
    CocoBuilder,
    canonical,
    check,
    existing_dir,
    fail,
    finish,
    print_report,
    summary,
    write_json,
)
from coco_split import deal, parse_shares, part_path
from tqdm import tqdm
from voc_files import Item, devkit_items, folder_items
from voc_xml import picture_size

CLASSES = (
    'person',
    'bird',
    'cat',
    'cow',
    'dog',
    'horse',
    'sheep',
    'airplane',
    'bicycle',
    'boat',
    'bus',
    'car',
    'motorcycle',
    'train',
    'bottle',
    'chair',
    'dining table',
    'potted plant',
    'couch',
    'tv',
)
Name = Callable[[str], str]


def choose_classes(
    items: Sequence[Item], wanted: Sequence[str] | None, is_devkit: bool
) -> tuple[list[str], Name]:
    """Class names in order, and what gives the class of a written name."""
    if wanted is None and is_devkit:
        return list(CLASSES), canonical
    if wanted is None:
        names = {o['name'] for i in items for o in i.annotation.objects}
        warn_of_spellings(names)
        return sorted(names), str
    twice = [n for n, k in collections.Counter(wanted).items() if k > 1]
    if twice:
        fail(f'--classes has {twice[0]!r} twice; name each class once')
    return list(wanted), str


def warn_of_spellings(names: set[str]) -> None:
    """Print a warning of names that may be meant as one class."""
    alike = collections.defaultdict(list)
    for name in sorted(names):
        alike[canonical(name)].append(name)
    for group in alike.values():
        if len(group) > 1:
            print(
                f'WARNING: {", ".join(map(repr, group))} are taken as '
                'different classes; spell them alike if they are one'
            )


def check_names(
    items: Sequence[Item], classes: Sequence[str], name: Name, refuse: bool
) -> None:
    """End the tool on objects of other classes; warn of unused classes."""
    others: collections.Counter[str] = collections.Counter()
    example, used = {}, set()
    for annotation, _, _ in items:
        for obj in annotation.objects:
            used.add(name(obj['name']))
            if name(obj['name']) not in classes:
                others[obj['name']] += 1
                example.setdefault(obj['name'], annotation.path)
    unused = [n for n in classes if n not in used]
    if unused:
        print(f'WARNING: no object is of class {", ".join(unused)}; spelling?')
    if others and refuse:
        found = ', '.join(f'{n!r}: {k}' for n, k in others.most_common())
        path = example[others.most_common(1)[0][0]]
        fail(
            f'{sum(others.values())} objects are of unknown classes ({found}; '
            f'such as in {path}). Known: {", ".join(sorted(classes))}. Name '
            'all with --classes, or leave others out with --others skip'
        )


def add_objects(
    builder: CocoBuilder,
    image: dict,
    objects: Sequence[dict],
    name: Name,
    difficult: str,
) -> None:
    """Add an image's boxes; see ``--difficult`` and ``--others``."""
    for obj in objects:
        if name(obj['name']) not in builder.category_ids:
            builder.notes[f'boxes skipped: other class {obj["name"]!r}'] += 1
            continue
        builder.notes['difficult boxes'] += obj['difficult']
        if obj['difficult'] and difficult == 'drop':
            continue
        builder.add_box(
            image,
            name(obj['name']),
            obj['corners'],
            iscrowd=int(obj['difficult'] and difficult == 'ignore'),
            difficult=obj['difficult'],
            truncated=obj['truncated'],
        )


def convert(args: argparse.Namespace) -> CocoBuilder:
    """All images and boxes that the arguments name, in one json."""
    notes: collections.Counter[str] = collections.Counter()
    source = existing_dir(args.source, 'source')
    if args.split:
        items = devkit_items(source, args.split, notes)
    else:
        images = args.images and Path(args.images)
        items = folder_items(source, images, args.list, notes)
    classes, name = choose_classes(items, args.classes, bool(args.split))
    check_names(items, classes, name, args.others == 'refuse')
    builder = CocoBuilder(classes, ' '.join(['VOC xml', *(args.split or ())]))
    builder.notes = notes
    for annotation, picture, file_name in tqdm(items, disable=None):
        size = picture_size(annotation, picture, args.trust_pictures)
        if picture and annotation.size not in (None, size):
            notes['images whose xml has another size'] += 1
        image = builder.add_image(file_name, *size)
        add_objects(builder, image, annotation.objects, name, args.difficult)
    return builder


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Convert VOC's xml to COCO: a devkit, with the class "
        'order of the VOS benchmark, or a folder of own xml. File names are '
        "relative to the devkit, or to the pictures' folder."
    )
    add = parser.add_argument
    add('source', help='devkit (with --split) or folder of xml')
    add('out', help='json to write')
    add_source_arguments(add)
    add_object_arguments(add)
    args = parser.parse_args(argv)
    if args.split and (args.images or args.list):
        parser.error('--images and --list are for own xml, without --split')
    return args


def add_source_arguments(add: Callable) -> None:
    """Which images are read, and to which parts they go."""
    add(
        '--split',
        action='append',
        metavar='YEAR:SET',
        help="list of a devkit's images, e.g. 2007:trainval; repeat it for "
        'several',
    )
    add('--images', metavar='DIR', help='pictures of own xml, if elsewhere')
    add('--list', metavar='FILE', help='own xml to take, a name a line')
    add(
        '--shares',
        nargs='+',
        metavar='PART=SHARE',
        help='deal the images to parts at random, e.g. train=0.8 val=0.2, '
        'which writes OUT_train.json and OUT_val.json',
    )
    add('--seed', type=int, default=0, help='of --shares')
    add(
        '--trust-pictures',
        action='store_true',
        help="take a picture's size where the xml says another",
    )


def add_object_arguments(add: Callable) -> None:
    """What becomes of annotated objects."""
    add(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='class names as the xml write them, in this order (default: '
        "VOC's for a devkit, all that occur for own xml)",
    )
    add(
        '--others',
        choices=('refuse', 'skip'),
        default='refuse',
        help='objects of other classes: an error (default), or left out and '
        'counted',
    )
    add(
        '--difficult',
        choices=('keep', 'ignore', 'drop'),
        default='keep',
        help='objects marked difficult: keep them as ordinary boxes, as the '
        'VOS benchmark does (default); ignore marks them iscrowd=1, so that '
        'they are neither positives nor false positives; drop leaves them out',
    )


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    shares = parse_shares(args.shares) if args.shares else None
    builder = convert(args)
    if not shares:
        finish(builder, args.out)
        return
    check(builder.coco)
    parts = deal(builder.coco, shares, args.seed)
    for part, coco in parts.items():
        path = part_path(args.out, part)
        write_json(coco, path)
        print_report(summary(coco), f'wrote {path}')
    print_report({'notes': dict(builder.notes)}, 'in all')


if __name__ == '__main__':
    main()
