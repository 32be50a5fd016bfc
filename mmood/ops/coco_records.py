"""The fields that a record of a COCO annotation file must have."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80


class CocoProblem(NamedTuple):
    """One thing that is wrong in a file: of which kind, where and what."""

    kind: str
    text: str


class Field(NamedTuple):
    """A test of a field's value and words for what passes it."""

    is_right: Callable[[Any], bool]
    right: str
    is_optional: bool = False


def shorten(value: object) -> str:
    """A ``repr`` that a message can hold, however long the value is."""
    return _repr.repr(value)


def is_id(value: object) -> bool:
    """Whether a value can be an id, a number or a word."""
    if type(value) is str:
        return bool(value)
    return type(value) is int and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    """A finite one; nan fails each comparison."""
    return type(value) in (int, float) and -1e12 < value < 1e12


def _is_size(value: Any) -> bool:
    return _is_number(value) and value > 0 and value == int(value)


def _is_area(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_box(value: Any) -> bool:
    is_four = type(value) is list and len(value) == 4
    return is_four and all(map(_is_number, value)) and min(value[2:]) >= 0


def _is_name(value: object) -> bool:
    return type(value) is str and bool(value.strip()) and '\0' not in value


def _is_flag(value: object) -> bool:
    return type(value) in (int, float, bool) and value in (0, 1)


_ID = Field(is_id, 'a whole number of 64 bits or a word')
_SIZE = Field(_is_size, 'a whole number of pixels from 1 up')
_AREA = Field(
    _is_area, "a number from 0 up, or leave it out for the box's", True
)
_FLAG = Field(_is_flag, '0 or 1', True)
_BOX = Field(
    _is_box,
    '[x, y, width, height] in pixels, finite, width and height from 0 up',
)
FIELDS = {
    'images': {
        'id': _ID,
        'file_name': Field(_is_name, 'the path of a file'),
        'width': _SIZE,
        'height': _SIZE,
    },
    'categories': {'id': _ID, 'name': Field(_is_name, 'a class name')},
    'annotations': {
        'id': _ID,
        'image_id': _ID,
        'category_id': _ID,
        'bbox': _BOX,
        'area': _AREA,
        'iscrowd': _FLAG,
        'ignore': _FLAG,
    },
}


def record_problems(
    where: str, record: object, fields: dict[str, Field]
) -> Iterator[CocoProblem]:
    """What one record lacks or has wrong; ``where`` it is in the file."""
    if not isinstance(record, dict):
        text = f'{where} is {shorten(record)}, not an object with fields'
        yield CocoProblem('bad_records', text)
        return
    if record.get('id') is not None:
        where += f' (id {shorten(record["id"])})'
    for name, field in fields.items():
        value = record.get(name)
        if (value is None and field.is_optional) or field.is_right(value):
            continue
        kind = 'bad_boxes' if name == 'bbox' else 'bad_records'
        got = f'no {name}'
        if name in record:
            got = f'the {name} {shorten(value)}'
        yield CocoProblem(kind, f'{where} has {got}; give {field.right}')


def box_problem(
    box: list[float], width: float, height: float, tolerance: float = 1.0
) -> tuple[str, str] | None:
    """Kind and text, or None for a box that training uses as it is.

    ``box`` is four finite numbers, in an image of ``width x height`` pixels,
    and may stick out of it by ``tolerance`` pixels.
    """
    x, y, w, h = box
    size = f'the {width} x {height} image'
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return 'empty_boxes', f'lies outside of {size}'
    if w < 1 or h < 1:
        return 'empty_boxes', 'is less than a pixel wide or high'
    beyond = max(-x, -y, x + w - width, y + h - height)
    if beyond > tolerance:
        return 'protruding_boxes', f'sticks out of {size} by {beyond:g} px'
    return None


def other_format(placed: Sequence[tuple[list, float, float]]) -> str | None:
    """What to say of a file whose boxes are in another format than COCO's.

    ``placed`` are boxes with the width and height of their images. One alone
    may be an odd one: the format is told by all of them.
    """
    placed = [p for p in placed if min(p[0][2:]) > 0]
    shares = [p[0] for p in placed if _is_share(*p)]
    if 2 * len(shares) > len(placed):
        return (
            f'{len(shares)} of {len(placed)} boxes lie in [0, 1], such as '
            f'{shares[0]}, which looks like shares of the image; multiply '
            'them by its width and height in pixels'
        )
    far = [p[0] for p in placed if _sticks_out_far(*p)]
    if 4 * len(far) > len(placed) and all(
        _fits_as_corners(*p) for p in placed
    ):
        return (
            f'{len(far)} of {len(placed)} boxes stick out of their images, '
            f'such as {far[0]}, and all would fit as [x1, y1, x2, y2]; give '
            '[x, y, width, height]'
        )
    return None


def _is_share(box: list[float], width: float, height: float) -> bool:
    """Of a corner or of the centre, a little beyond the border or not."""
    return max(width, height) > 1 and max(map(abs, box)) <= 1.01


def _sticks_out_far(box: list[float], width: float, height: float) -> bool:
    x, y, w, h = box
    return x + w > 1.05 * width or y + h > 1.05 * height


def _fits_as_corners(box: list[float], width: float, height: float) -> bool:
    x1, y1, x2, y2 = box
    return -1 <= x1 < x2 <= width + 1 and -1 <= y1 < y2 <= height + 1
