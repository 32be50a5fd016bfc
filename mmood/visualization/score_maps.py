"""Score maps as pictures.

Shapes: H x W pixels; images are RGB uint8 (H, W, 3).
"""

from __future__ import annotations

import numpy as np


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
