"""PASCAL VOC devkit -> one COCO json.

Input: ``<devkit>/VOC<year>/{Annotations/*.xml,ImageSets/Main/<set>.txt}``.
Class names and their order are those of the VOS benchmark (Du et al., "VOS:
Learning What You Don't Know by Virtual Outlier Synthesis", ICLR 2022), which
writes VOC's names the way COCO does. The XML parser of Python's standard
library is not hardened: convert files you trust.
"""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from coco_json import (
    CocoBuilder,
    canonical,
    existing_dir,
    existing_file,
    fail,
    finish,
    read_text,
)
from tqdm import tqdm

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


def _find(node: ET.Element, tag: str, path: Path) -> ET.Element:
    child = node.find(tag)
    if child is None:
        fail(f'{path}: <{node.tag}> has no <{tag}>: not a VOC annotation')
    return child


def _number(node: ET.Element, tag: str, path: Path) -> float:
    text = _find(node, tag, path).text
    try:
        return float(text)
    except (TypeError, ValueError):
        fail(f'{path}: <{tag}> is {text!r} where a number is expected')


def _flag(node: ET.Element, tag: str) -> int:
    return int((node.findtext(tag) or '0').strip() == '1')


def parse_object(node: ET.Element, path: Path) -> dict:
    """One ``<object>``: name, corners and flags.

    VOC counts pixels from 1 and includes both corners, so pixel ``xmin`` to
    pixel ``xmax`` covers [xmin - 1, xmax] in COCO's coordinates.
    """
    raw_name = (_find(node, 'name', path).text or '').strip()
    name = canonical(raw_name)
    if name not in CLASSES:
        fail(
            f'{path}: unknown class {raw_name!r}; known: {", ".join(CLASSES)}'
        )
    box = _find(node, 'bndbox', path)
    x1, y1 = (_number(box, tag, path) - 1 for tag in ('xmin', 'ymin'))
    x2, y2 = (_number(box, tag, path) for tag in ('xmax', 'ymax'))
    return {
        'name': name,
        'corners': (x1, y1, x2, y2),
        'difficult': _flag(node, 'difficult'),
        'truncated': _flag(node, 'truncated'),
    }


def parse_annotation(path: Path) -> tuple[int, int, list[dict]]:
    """A VOC xml -> width, height, objects (see ``parse_object``)."""
    existing_file(path, 'devkit')
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        fail(f'{path} is not valid XML ({error})')
    size = _find(root, 'size', path)
    width, height = (_number(size, tag, path) for tag in ('width', 'height'))
    objects = [parse_object(node, path) for node in root.findall('object')]
    return int(width), int(height), objects


def parse_split(text: str) -> tuple[str, str]:
    """``'2007:trainval'`` -> ``('2007', 'trainval')``."""
    year, colon, name = text.partition(':')
    if not (year and colon and name):
        fail(f'--split {text!r} should be YEAR:SET, for example 2007:trainval')
    return year, name


def read_image_ids(devkit: Path, year: str, name: str) -> list[str]:
    """Image ids of ``ImageSets/Main/<name>.txt``, in its order."""
    path = devkit / f'VOC{year}' / 'ImageSets' / 'Main' / f'{name}.txt'
    lines = read_text(path, f'--split {year}:{name}').splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def add_annotation(
    builder: CocoBuilder, file_name: str, xml: Path, difficult: str
) -> None:
    """Add one image and its boxes; see ``--difficult`` for the last one."""
    width, height, objects = parse_annotation(xml)
    image = builder.add_image(file_name, width, height)
    for obj in objects:
        builder.notes['difficult boxes'] += obj['difficult']
        if obj['difficult'] and difficult == 'drop':
            continue
        builder.add_box(
            image,
            obj['name'],
            obj['corners'],
            iscrowd=int(obj['difficult'] and difficult == 'ignore'),
            difficult=obj['difficult'],
            truncated=obj['truncated'],
        )


def convert(
    devkit: Path, splits: Sequence[str], difficult: str = 'keep'
) -> CocoBuilder:
    """Convert ``splits`` (``'YEAR:SET'``); an image listed twice is one."""
    builder = CocoBuilder(CLASSES, f'PASCAL VOC {" ".join(splits)}')
    seen = set()
    for year, name in map(parse_split, splits):
        folder = devkit / f'VOC{year}'
        ids = read_image_ids(devkit, year, name)
        for image_id in tqdm(ids, desc=f'VOC{year} {name}', disable=None):
            file_name = f'VOC{year}/JPEGImages/{image_id}.jpg'
            if file_name in seen:
                builder.notes['images listed twice'] += 1
                continue
            seen.add(file_name)
            xml = folder / 'Annotations' / f'{image_id}.xml'
            add_annotation(builder, file_name, xml, difficult)
    return builder


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert PASCAL VOC to one COCO json with the class order '
        'of the VOS benchmark. File names are relative to the devkit.'
    )
    parser.add_argument(
        'devkit', help='folder which holds VOC2007 and/or VOC2012'
    )
    parser.add_argument('out', help='json to write')
    parser.add_argument(
        '--split',
        action='append',
        required=True,
        metavar='YEAR:SET',
        help='image list to read, e.g. 2007:trainval; repeat it for several',
    )
    parser.add_argument(
        '--difficult',
        choices=('keep', 'ignore', 'drop'),
        default='keep',
        help='objects marked difficult: keep them as ordinary boxes, as the '
        'VOS benchmark does (default); ignore marks them iscrowd=1, so that '
        'they are neither positives nor false positives; drop leaves them out',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    devkit = existing_dir(args.devkit, 'devkit')
    finish(convert(devkit, args.split, args.difficult), args.out)


if __name__ == '__main__':
    main()
