"""Sheets of cards: pictures in frames, each with its own caption inside.

Shapes: pictures are RGB uint8 (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .drawing import (
    INK,
    PAPER,
    Color,
    extent,
    line_height,
    rows_needed,
    shortened,
    strip,
    write,
)

FRAME = (170, 170, 170)
_GAP, _PAD = 14, 6


@dataclass
class Card:
    """Pictures side by side, what each one is, and a caption for all."""

    pictures: Sequence[np.ndarray]
    caption: str
    headings: Sequence[str] = ()


def card_sheet(
    cards: Sequence[Card],
    columns: int,
    cell: tuple[int, int],
    legend: Sequence[tuple[Color | None, str]] = (),
    size: int = 13,
) -> np.ndarray:
    """Cards in rows, one size for all, the legend above.

    ``cell`` is (width, height) of the place of a picture, into which larger
    ones are shrunk. Every card has a frame around its headings, pictures and
    caption, and white between it and the next one, so that no caption can be
    taken for that of a neighbour. No card: the legend alone.
    """
    count = max((len(card.pictures) for card in cards), default=1)
    line = line_height(size)
    headings = line if any(card.headings for card in cards) else 0
    wide = count * (cell[0] + _PAD) + _PAD
    high = headings + cell[1] + line + 3 * _PAD
    rows = -(-len(cards) // columns)
    width = columns * (wide + _GAP) + _GAP
    above = rows_needed(legend, width, size)
    top = strip(width, above, size, legend) if above else None
    start = 0 if top is None else len(top)
    height = max(start + rows * (high + _GAP) + _GAP, 1)
    sheet = Image.new('RGB', (width, height), 'white')
    if top is not None:
        sheet.paste(Image.fromarray(top))
    draw = ImageDraw.Draw(sheet)
    for i, card in enumerate(cards):
        x = _GAP + i % columns * (wide + _GAP)
        y = start + _GAP + i // columns * (high + _GAP)
        box = (x, y, x + wide - 1, y + high - 1)
        draw.rectangle(box, fill=PAPER, outline=FRAME)
        caption = shortened(card.caption, size, wide - 2 * _PAD)
        write(draw, (x + _PAD, y + high - line - _PAD), caption, size, INK)
        for j, picture in enumerate(card.pictures):
            left, upper = x + _PAD + j * (cell[0] + _PAD), y + _PAD
            if j < len(card.headings):
                text = shortened(card.headings[j], size, cell[0])
                indent = (cell[0] - extent(text, size)[0]) // 2
                write(draw, (left + indent, upper), text, size, INK)
            shrunk = Image.fromarray(np.ascontiguousarray(picture))
            shrunk.thumbnail(cell)
            place = (
                left + (cell[0] - shrunk.width) // 2,
                upper + headings + (cell[1] - shrunk.height) // 2,
            )
            sheet.paste(shrunk, place)
    return np.asarray(sheet)
