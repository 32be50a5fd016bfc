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
    number,
    read_text,
)
from tqdm import tqdm

from mmood.ops import image_size, list_images

COLUMNS = ('ImageID', 'LabelName', 'XMin', 'XMax', 'YMin', 'YMax', 'IsGroupOf')
FLAGS = ('0', '1', '-1')  # -1: not known
MARGIN = 1  # by which a share may go beyond 0..1 and be cut


def read_classes(path: str | Path) -> dict[str, str]:
    """MID -> class name, in the order of the file."""
    text = read_text(path, 'descriptions')
    try:
        rows = [row for row in csv.reader(text.splitlines()) if row]
    except csv.Error as error:
        fail(f'descriptions: {path} is not valid csv ({error})')
    if rows and rows[0][0] == 'LabelName':
        rows = rows[1:]
    names: dict[str, str] = {}
    for row in rows:
        if len(row) != 2 or not all(row):
            fail(f'descriptions: {path}: {row} should be MID,name')
        mid, name = row
        if names.setdefault(mid, name) != name:
            fail(
                f'descriptions: {path}: {mid} is {names[mid]!r} and {name!r}; '
                'remove one of the rows'
            )
    if not names:
        fail(f'descriptions: {path} has no class')
    return names


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
    """ImageID -> path of the pictures below ``folder``.

    Ends the tool if two have one ImageID, as ``a.jpg`` and ``b/a.png`` do.
    """
    found: dict[str, Path] = {}
    for path in map(Path, list_images(folder)):
        if path.stem in found:
            fail(
                f'images: {found[path.stem]} and {path} have one ImageID; '
                'remove or rename one of them'
            )
        found[path.stem] = path
    if not found:
        fail(f'images: no picture in {folder}')
    return found


def read_rows(path: str | Path) -> Iterator[dict[str, str]]:
    """Rows of the box csv, one at a time (the train csv has millions)."""
    path = existing_file(path, 'boxes')
    with path.open(newline='', encoding='utf-8-sig') as file:
        reader = csv.DictReader(file)
        try:
            columns = reader.fieldnames or ()
            for name in COLUMNS:
                if columns.count(name) != 1:
                    count = 'no column' if name not in columns else 'two'
                    fail(f'boxes: {path} has {count} {name}; it needs one')
            for row in reader:
                if None in row or None in row.values():
                    fail(
                        f'boxes: {path}, line {reader.line_num}: not as many '
                        f'columns as the first line has: {row["ImageID"]!r}'
                    )
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            fail(f'boxes: {path} is not valid csv in UTF-8 ({error})')


def _corners(row: dict[str, str], image: dict) -> tuple[float, ...]:
    where = f'boxes: image {row["ImageID"]}'
    keys = ('XMin', 'YMin', 'XMax', 'YMax')
    shares = [number(row[key], f'{where}: {key}') for key in keys]
    if min(shares) < -MARGIN or max(shares) > 1 + MARGIN:
        fail(
            f'{where}: {shares} are not shares of the width and height in '
            '0..1; divide pixels by the size of the image'
        )
    x1, y1, x2, y2 = shares
    width, height = image['width'], image['height']
    return x1 * width, y1 * height, x2 * width, y2 * height


def _is_group(row: dict[str, str]) -> int:
    if row['IsGroupOf'] not in FLAGS:
        fail(
            f'boxes: image {row["ImageID"]}: IsGroupOf is '
            f'{row["IsGroupOf"]!r}, not one of {", ".join(FLAGS)}'
        )
    return int(row['IsGroupOf'] == '1')


def add_images(
    builder: CocoBuilder, folder: Path, paths: dict[str, Path]
) -> dict[str, dict]:
    """Add all images; returns ImageID -> COCO image."""
    images = {}
    for image_id, path in tqdm(paths.items(), desc='sizes', disable=None):
        try:
            size = image_size(path)
        except OSError as error:
            fail(f'images: {error}; fetch it again or remove it')
        name = path.relative_to(folder).as_posix()
        images[image_id] = builder.add_image(name, *size)
    return images


def convert(
    boxes: str | Path,
    names: dict[str, str],
    folder: Path,
    classes: Sequence[str],
) -> CocoBuilder:
    """Boxes of ``classes`` on a folder's images, which all stay.

    A box around a group of objects (IsGroupOf) becomes ``iscrowd=1``.
    """
    builder = CocoBuilder(classes, 'OpenImages boxes')
    images = add_images(builder, folder, find_images(folder))
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
            corners = _corners(row, image)
            builder.add_box(image, name, corners, iscrowd=_is_group(row))
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
    folder = existing_dir(args.images, 'images')
    finish(convert(args.boxes, names, folder, classes), args.out)


if __name__ == '__main__':
    main()
