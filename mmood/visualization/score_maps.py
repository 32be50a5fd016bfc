"""Score maps as pictures.

Shapes: H x W pixels; images are RGB uint8 (H, W, 3).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from mmood.ops.drawing import (
    INK,
    PAPER,
    WHITE,
    extent,
    line_height,
    shortened,
    write,
)

from .words import plain


def color_map(
    score: np.ndarray, low: float, high: float, name: str = 'turbo'
) -> np.ndarray:
    """Scores (H, W) in a colormap, ``low`` its begin, ``high`` its end.

    Scores beyond, and infinite ones, have the colour of the end; nan is
    black. -> (H, W, 3) uint8. Raises ValueError unless ``low`` < ``high``.
    """
    from matplotlib import colormaps  # late: only drawing needs it

    if not low < high:
        raise ValueError(f'low must be less than high, got {low} and {high}')
    share = np.clip((score.astype(np.float64) - low) / (high - low), 0, 1)
    picture = colormaps[name](np.nan_to_num(share))[..., :3]
    picture[np.isnan(share)] = 0
    return np.round(255 * picture).astype(np.uint8)


def finite_range(score: np.ndarray) -> tuple[float, float]:
    """Ends of a colormap: the least and the largest number, never equal.

    (0, 1) where all are infinite or nan.
    """
    finite = score[np.isfinite(score)].astype(np.float64)
    if not finite.size:
        return 0.0, 1.0
    low, high = finite.min(), finite.max()
    return float(low), float(max(high, np.nextafter(low, np.inf)))


def overlay(
    image: np.ndarray, picture: np.ndarray, opacity: float = 0.6
) -> np.ndarray:
    """``(1 - opacity) image + opacity picture``, (H, W, 3) uint8."""
    mixed = (1 - opacity) * image.astype(np.float64) + opacity * picture
    return np.round(mixed).astype(np.uint8)


def color_bar(
    width: int,
    size: int,
    ends: tuple[float, float],
    limit: float | None,
    name: str,
) -> np.ndarray:
    """What the colours of `color_map` stand for, to stand below a map.

    A title, the bar with a mark at ``limit`` (None or nan: no mark) and the
    numbers at its ends. A limit beyond them is at the end, with an arrow.
    ``size`` is that of the text. -> (H, ``width``, 3) uint8, H for a size.
    """
    low, high = ends
    line, pad = line_height(size), size // 2
    gap = max(2, size // 4)
    picture = Image.new('RGB', (width, 4 * line + 2 * pad), PAPER)
    draw = ImageDraw.Draw(picture)
    title = shortened(f'{name}: right is more unknown', size, width - 2 * pad)
    write(draw, (pad, 0), title, size)
    long = max(1, width - 2 * pad)
    scale = np.linspace(low, high, long)[None].repeat(line, 0)
    picture.paste(
        Image.fromarray(color_map(scale, low, high)), (pad, line + gap)
    )
    write(draw, (pad, 2 * line + gap), plain(low), size)
    last = plain(high)
    right = width - pad - extent(last, size)[0]
    write(draw, (right, 2 * line + gap), last, size)
    if limit is not None and not np.isnan(limit):
        share, thin = (limit - low) / (high - low), max(1, size // 12)
        x = pad + round(float(np.clip(share, 0, 1)) * (long - 1))
        draw.line((x, line + gap, x, 2 * line + gap), WHITE, 3 * thin + 2)
        draw.line((x, line + gap, x, 3 * line + gap), INK, thin)
        arrow = '' if 0 <= share <= 1 else ' →' if share > 1 else ' ←'
        text = f'limit {plain(limit)}{arrow}, unknown beyond'
        text = shortened(text, size, long)
        left = min(max(x, pad), width - pad - extent(text, size)[0])
        write(draw, (max(left, 0), 3 * line + gap), text, size)
    return np.asarray(picture)


def draw_outline(
    image: np.ndarray,
    mask: np.ndarray,
    color: tuple[int, int, int] = (255, 255, 255),
) -> np.ndarray:
    """The inner border of a mask (H, W) drawn on a copy of the image."""
    padded = np.pad(mask.astype(bool), 1)
    inside = padded[1:-1, 1:-1]
    kept = (
        inside
        & padded[:-2, 1:-1]
        & padded[2:, 1:-1]
        & padded[1:-1, :-2]
        & padded[1:-1, 2:]
    )
    image = image.copy()
    image[inside & ~kept] = color
    return image
