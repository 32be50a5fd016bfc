"""OpenImages boxes (csv) -> COCO json, for the images of one folder.

Boxes: ``<split>-annotations-bbox.csv`` with the columns ImageID, LabelName,
XMin, XMax, YMin, YMax in [0, 1] of the width and height, IsGroupOf and others.
Classes: ``class-descriptions-boxable.csv``, rows ``/m/011k07,Tortoise``, with
or without a header. Images are ``<ImageID>.jpg``.
"""

from __future__ import annotations

import argparse
import csv
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from coco_json import (
    CocoBuilder,
    existing_dir,
    existing_file,
    fail,
    finish,
    image_size,
    read_text,
)
from tqdm import tqdm

COLUMNS = ('ImageID', 'LabelName', 'XMin', 'XMax', 'YMin', 'YMax', 'IsGroupOf')
SUFFIXES = ('.jpg', '.jpeg', '.png')


def read_classes(path: str | Path) -> dict[str, str]:
    """MID -> class name, in the order of the file."""
    text = read_text(path, 'descriptions')
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if rows and rows[0][0] == 'LabelName':
        rows = rows[1:]
    for row in rows:
        if len(row) != 2:
            fail(f'descriptions: {path}: {row} should be MID,name')
    if not rows:
        fail(f'descriptions: {path} has no class')
    return dict(rows)


def choose_classes(
    known: Sequence[str], wanted: Sequence[str] | None
) -> list[str]:
    """``wanted`` (case matters not) as OpenImages writes it; None is all."""
    if wanted is None:
        return list(dict.fromkeys(known))
    by_lower = {name.lower(): name for name in known}
    for name in wanted:
        if name.lower() not in by_lower:
            close = difflib.get_close_matches(name.lower(), by_lower, n=3)
            near = [by_lower[c] for c in close]
            hint = f'; did you mean {", ".join(near)}?' if near else ''
            fail(
                f'--classes: unknown class {name!r}{hint} Known: '
                f'{", ".join(known)}'
            )
    return list(dict.fromkeys(by_lower[name.lower()] for name in wanted))


def find_images(folder: Path) -> dict[str, Path]:
    """ImageID -> path of the images right in ``folder``, sorted by name."""
    paths = sorted(folder.iterdir())
    found = {p.stem: p for p in paths if p.suffix.lower() in SUFFIXES}
    if not found:
        fail(f'images: no {", ".join(SUFFIXES)} in {folder}')
    return found


def read_rows(path: str | Path) -> Iterator[dict[str, str]]:
    """Rows of the box csv, one at a time (the train csv has millions)."""
    path = existing_file(path, 'boxes')
    with path.open(newline='', encoding='utf-8') as file:
        reader = csv.DictReader(file)
        try:
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                fail(f'boxes: {path} has no column {min(missing)}')
            yield from reader
        except (csv.Error, UnicodeDecodeError) as error:
            fail(f'boxes: {path} is not valid csv ({error})')


def _corners(row: dict[str, str], image: dict) -> tuple[float, ...]:
    keys = ('XMin', 'YMin', 'XMax', 'YMax')
    try:
        x1, y1, x2, y2 = (float(row[key]) for key in keys)
    except (TypeError, ValueError):
        values = [row[key] for key in keys]
        fail(f'boxes: image {row["ImageID"]}: {values} are not four numbers')
    width, height = image['width'], image['height']
    return x1 * width, y1 * height, x2 * width, y2 * height


def add_images(
    builder: CocoBuilder, paths: dict[str, Path]
) -> dict[str, dict]:
    """Add all images; returns ImageID -> COCO image."""
    images = {}
    for image_id, path in tqdm(paths.items(), desc='sizes', disable=None):
        try:
            size = image_size(path)
        except OSError as error:
            fail(f'images: {error}; fetch it again or remove it')
        images[image_id] = builder.add_image(path.name, *size)
    return images


def convert(
    boxes: str | Path,
    names: dict[str, str],
    paths: dict[str, Path],
    classes: Sequence[str],
) -> CocoBuilder:
    """Boxes of ``classes`` on ``paths``; every image stays, boxes or not.

    A box around a group of objects (IsGroupOf) becomes ``iscrowd=1``.
    """
    builder = CocoBuilder(classes, 'OpenImages boxes')
    images = add_images(builder, paths)
    for row in tqdm(read_rows(boxes), desc='boxes', disable=None):
        image = images.get(row['ImageID'])
        if image is None:
            builder.notes['boxes skipped: image not in the folder'] += 1
            continue
        name = names.get(row['LabelName'])
        if name is None:
            note = f'boxes skipped: unknown label {row["LabelName"]}'
            builder.notes[note] += 1
        elif name not in builder.category_ids:
            builder.notes['boxes skipped: class not in --classes'] += 1
        else:
            crowd = int(row['IsGroupOf'] == '1')
            corners = _corners(row, image)
            builder.add_box(image, name, corners, iscrowd=crowd)
    return builder


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert OpenImages boxes of the images in a folder to '
        'COCO. Images without a box are kept.'
    )
    parser.add_argument('boxes', help='e.g. validation-annotations-bbox.csv')
    parser.add_argument(
        'descriptions', help='e.g. class-descriptions-boxable.csv'
    )
    parser.add_argument('images', help='folder of <ImageID>.jpg')
    parser.add_argument('out', help='json to write')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='keep only boxes of these classes, in this order (default: all '
        'classes of the descriptions)',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    names = read_classes(args.descriptions)
    classes = choose_classes(list(names.values()), args.classes)
    paths = find_images(existing_dir(args.images, 'images'))
    finish(convert(args.boxes, names, paths, classes), args.out)


if __name__ == '__main__':
    main()
