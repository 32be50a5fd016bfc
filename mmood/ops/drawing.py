"""Text, labels, legends and enlarging, for pictures that people look at.

Shapes: pictures are RGB uint8 (H, W, 3), boxes (x1, y1, x2, y2) in pixels.
"""

from __future__ import annotations

import math
import os.path as osp
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

WHITE, INK, PAPER = (255, 255, 255), (25, 25, 25), (248, 248, 248)
_SHORT, _LONG = 350, 1600  # sides that are large enough for text


def enlarging(height: int, width: int) -> int:
    """The whole factor by which a small picture is drawn larger, from 1.

    The least one with which the shorter side has 350 pixels, as far as the
    longer one stays within 1600.
    """
    short, long = sorted((height, width))
    return max(1, min(math.ceil(_SHORT / short), _LONG // long))


def enlarge(image: np.ndarray, factor: int, smooth: bool = True) -> np.ndarray:
    """(H, W, *) -> (factor H, factor W, *); ``smooth`` or pixel by pixel."""
    if factor == 1:
        return image
    how = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)


def text_size(height: int, width: int) -> int:
    """Size of text, in pixels, that can be read on such a picture."""
    return max(14, min(height, width) // 27)


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    from matplotlib import get_data_path  # late: only drawing needs it

    path = osp.join(get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
    return ImageFont.truetype(path, size)


def extent(text: str, size: int) -> tuple[int, int]:
    """Width and height of a text of one line or several."""
    lines = text.split('\n')
    width = max(font(size).getlength(line) for line in lines)
    return math.ceil(width), len(lines) * line_height(size)


def line_height(size: int) -> int:
    return round(1.3 * size)


def shortened(text: str, size: int, width: int) -> str:
    """A line cut to a width in pixels, an ellipsis at its end."""
    if extent(text, size)[0] <= width:
        return text
    while text and extent(f'{text}…', size)[0] > width:
        text = text[:-1]
    return f'{text}…'


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    color: Color = INK,
) -> None:
    """Lines of text, ``place`` being their upper left corner."""
    for i, line in enumerate(text.split('\n')):
        top = place[1] + i * line_height(size) + 0.05 * size
        draw.text((place[0], top + size), line, color, font(size), anchor='ls')


def label_colors(color: Color) -> tuple[Color, Color]:
    """Background and text of a label: dark with white, or bright with black.

    Their contrast is at least 4.5.
    """
    if luminance(color) > 0.4:
        return color, INK
    red, green, blue = (round(0.62 * c) for c in color)
    return (red, green, blue), WHITE


def luminance(color: Color) -> float:
    """Relative luminance in [0, 1], of WCAG 2."""
    share = np.array(color) / 255
    linear = np.where(
        share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4
    )
    return float(linear @ (0.2126, 0.7152, 0.0722))


def rows_needed(
    entries: Sequence[tuple[Color | None, str]], width: int, size: int
) -> int:
    """Rows of a legend of that width that says all."""
    placed = _flow(entries, width - 2 * (size // 2), size)
    return placed[-1][1] + 1 if placed else 0


def strip(
    width: int,
    rows: int,
    size: int,
    entries: Sequence[tuple[Color | None, str]],
) -> np.ndarray:
    """A legend to stand below a picture: swatches and what they mean.

    Entries follow each other in so many rows; what there is no room for is
    counted at the end. -> (height of the rows, width, 3), whatever they say.
    """
    pad, line = size // 2, round(1.6 * size)
    picture = Image.new('RGB', (width, rows * line + pad), PAPER)
    draw = ImageDraw.Draw(picture)
    for x, row, color, text in _fitting(entries, width - 2 * pad, rows, size):
        left, top = pad + x, pad + row * line
        if color is not None:
            box = (left, top, left + size, top + size)
            draw.rectangle(box, fill=tuple(color), outline=INK)
            left += round(1.4 * size)
        write(draw, (left, top - 0.05 * size), text, size)
    return np.asarray(picture)


def _fitting(
    entries: Sequence[tuple[Color | None, str]],
    width: int,
    rows: int,
    size: int,
) -> list[tuple[int, int, Color | None, str]]:
    """As many entries as fit, each with its x and its row."""
    for kept in range(len(entries), -1, -1):
        left_out = len(entries) - kept
        more = [(None, f'+{left_out} more')] if left_out else []
        placed = _flow([*entries[:kept], *more], width, size)
        if not placed or placed[-1][1] < rows:
            break
    return placed


def _flow(
    entries: Sequence[tuple[Color | None, str]], width: int, size: int
) -> list[tuple[int, int, Color | None, str]]:
    placed, x, row = [], 0, 0
    for color, text in entries:
        swatch = 0 if color is None else round(1.4 * size)
        text = shortened(text, size, max(width - swatch, 0))
        wide = swatch + extent(text, size)[0]
        if x and x + wide > width:
            x, row = 0, row + 1
        placed.append((x, row, color, text))
        x += wide + size
    return placed
