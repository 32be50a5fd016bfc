"""Random textures and shading.

Shapes: S side of a square picture in pixels.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns in pixels, each (S, S) float32."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return y, x


def light(rng: np.random.Generator, size: int, depth: float) -> np.ndarray:
    """Linear shading (S, S) around 1."""
    y, x = _grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    slope = depth * rng.uniform(0.3, 1) * 2 / size
    ramp = f32(np.cos(angle)) * x + f32(np.sin(angle)) * y
    return 1 + f32(slope) * (ramp - ramp.mean())


def texture(
    rng: np.random.Generator, size: int, contrast: float
) -> np.ndarray:
    """Two random colours mixed by noise, stripes or checks, (S, S, 3)."""
    first, second = rng.uniform(25, 230, (2, 3)).astype(np.float32)
    second = first + (second - first) * f32(contrast * rng.random())
    kind = rng.choice(['stripes', 'checks', 'noise', 'clouds'])
    if kind in ('stripes', 'checks'):
        mix = _waves(rng, size, across=kind == 'checks')
    else:
        cells = int(rng.integers(3, 16)) if kind == 'noise' else 3
        noise = rng.random((cells, cells)).astype(np.float32)
        mix = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return first + (second - first) * np.clip(mix, 0, 1)[..., None]


def _waves(rng: np.random.Generator, size: int, across: bool) -> np.ndarray:
    """Sine stripes, or checks, of a random period and direction, (S, S)."""
    y, x = _grid(size)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 14)
    cos = f32(np.cos(angle) * 2 * np.pi / period)
    sin = f32(np.sin(angle) * 2 * np.pi / period)
    along = np.sin(cos * x + sin * y)
    if not across:
        return (along + 1) / 2
    return (along * np.sin(cos * y - sin * x) > 0).astype(np.float32)


def f32(value: float) -> np.float32:
    """A number as numpy float32, which keeps arrays in single precision."""
    return np.float32(value)
