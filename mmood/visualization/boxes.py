"""Boxes and their labels on a picture.

Shapes: N boxes (x1, y1, x2, y2) in pixels, pictures RGB uint8 (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from mmood.ops.drawing import (
    INK,
    WHITE,
    Color,
    extent,
    label_colors,
    luminance,
    text_size,
    write,
)


@dataclass
class DrawnBox:
    """A box with its label.

    ``text`` may have a second line, which stands behind the first one, with
    a comma between them, where that hides less.
    """

    box: np.ndarray
    text: str
    color: Color


def draw_boxes(
    image: np.ndarray, boxes: Sequence[DrawnBox], line_width: int = 2
) -> np.ndarray:
    """The picture with all boxes, then all labels, on a copy.

    Boxes later in the list lie on top and are the first to choose where
    their labels stand.
    """
    height, width = image.shape[:2]
    size = text_size(height, width)
    picture = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    pixels = [_clipped(one.box, width, height) for one in boxes]
    for (x1, y1, x2, y2), one in zip(pixels, boxes):
        halo = WHITE if luminance(one.color) < 0.3 else INK
        for grown, color in ((1, halo), (0, one.color)):
            draw.rectangle(
                (x1 - grown, y1 - grown, x2 + grown, y2 + grown),
                outline=color,
                width=line_width + 2 * grown,
            )
    taken: list[np.ndarray] = []
    for box, one in reversed(list(zip(pixels, boxes))):
        text, place = label_place(
            one.text, box, (width, height), size, pixels, taken
        )
        if text:
            taken.append(place)
            background, ink = label_colors(one.color)
            draw.rectangle(tuple(place - (0, 0, 1, 1)), fill=background)
            write(draw, (place[0] + size // 4, place[1]), text, size, ink)
    return np.asarray(picture)


def label_place(
    text: str,
    box: np.ndarray,
    sides: tuple[int, int],
    size: int,
    boxes: Sequence[np.ndarray],
    taken: Sequence[np.ndarray],
) -> tuple[str, np.ndarray]:
    """The label's text, on one line or two, and its rectangle.

    Of the places around the box and in its corners that lie inside of the
    picture the one that hides least: other labels count most, then the box
    itself, then other boxes.
    """
    best, least = (text, np.zeros(4)), np.inf
    closed = [np.array(one) + (0, 0, 1, 1) for one in (box, *boxes)]
    for form in dict.fromkeys([text.replace('\n', ', '), text]):
        width, height = extent(form, size)
        wide, high = width + size // 2, height
        for place in _places(box, wide, high, sides):
            cost = (
                9 * sum(_overlap(place, other) for other in taken)
                + 3 * _overlap(place, closed[0])
                + sum(_overlap(place, other) for other in closed[1:])
            ) / (wide * high)
            if cost < least - 0.02:
                best, least = (form, place), cost
    return best


def _places(
    box: np.ndarray, wide: int, high: int, sides: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Rectangles outside of the box first, moved into the picture."""
    x1, y1, x2, y2 = box
    corners = [
        (x1, y1 - high), (x2 - wide, y1 - high),
        (x1, y2 + 1), (x2 - wide, y2 + 1),
        (x2 + 1, y1), (x1 - wide, y1), (x2 + 1, y2 - high),
        (x1 - wide, y2 - high),
        (x1, y1), (x2 - wide, y1), (x1, y2 - high), (x2 - wide, y2 - high),
    ]  # fmt: skip
    for x, y in corners:
        left = max(0, min(x, sides[0] - wide))
        top = max(0, min(y, sides[1] - high))
        yield np.array([left, top, left + wide, top + high])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Pixels that two rectangles share."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return float(max(wide, 0) * max(high, 0))


def _clipped(box: np.ndarray, width: int, height: int) -> np.ndarray:
    """Whole pixels inside of the picture, one at least."""
    limits = np.array([width, height, width, height]) - 1
    x1, y1, x2, y2 = np.clip(np.round(box), 0, limits).astype(int).tolist()
    return np.array([x1, y1, max(x1, x2), max(y1, y2)])
