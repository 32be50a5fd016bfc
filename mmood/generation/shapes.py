"""Shapes: drawing small scenes with known and unknown objects.

Everything about an object but its outline is random and independent of its
class: colours, texture, shading, size, rotation, stretch, place. The
background is textured and crossed by strokes that are no objects.

Shapes: images (S, S, 3) uint8, BGR as OpenCV has it; masks (S, S) uint8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .outlines import FAR, ID, NEAR
from .textures import f32, light, texture

__all__ = ['CLEAR', 'CLUTTERED', 'FAR', 'ID', 'NEAR', 'Look', 'Scene']
__all__ += ['render_scene']

_FINE = 4  # outlines are drawn this much larger, then averaged


class Look(NamedTuple):
    """How hard objects are to see.

    ``ground`` and ``fill`` are the contrasts of the background's and the
    objects' textures, ``strokes`` the range of their number, ``gap`` the
    least distance in colour between an object and what it covers.
    """

    ground: float
    fill: float
    strokes: tuple[int, int]
    gap: float


CLEAR = Look(ground=0.35, fill=0.3, strokes=(1, 4), gap=60)
CLUTTERED = Look(ground=0.7, fill=0.5, strokes=(2, 7), gap=0)
_TRIES = 20  # for a colour that stands out


@dataclass
class Scene:
    """An image, its instance mask (0 background, 1..n) and the n names."""

    image: np.ndarray
    instances: np.ndarray
    names: list[str]


def render_scene(
    rng: np.random.Generator,
    outlines: Mapping[str, Sequence[np.ndarray]],
    size: int = 96,
    max_objects: int = 3,
    min_visible: float = 0.6,
    look: Look = CLEAR,
) -> Scene:
    """Draw 1 to ``max_objects`` objects of random classes.

    An object that would leave less than ``min_visible`` of an earlier one
    is tried elsewhere and given up after a few tries; the first always
    finds a place. Raises ValueError for no outline or
    ``size`` < 32 pixels.
    """
    if not outlines:
        raise ValueError('outlines must name at least one shape, got none')
    if size < 32:
        raise ValueError(f'size must be at least 32 pixels, got {size}')
    image = _background(rng, size, look)
    instances = np.zeros((size, size), np.uint8)
    areas, names = [], []
    for _ in range(rng.integers(1, max_objects + 1)):
        name = str(rng.choice(list(outlines)))
        for _ in range(8):
            alpha = _outline_mask(rng, outlines[name], size)
            inside = alpha > 0.5
            if _fits(inside, instances, areas, min_visible):
                areas.append(int(inside.sum()))
                names.append(name)
                instances[inside] = len(names)
                image = add_object(rng, image, alpha, look)
                break
    noise = rng.standard_normal(image.shape, np.float32)
    image = image + 5 * noise
    image = np.clip(image, 0, 255).astype(np.uint8)
    return Scene(image, instances, names)


def _fits(
    inside: np.ndarray, instances: np.ndarray, areas: list, share: float
) -> bool:
    full = int(inside.sum())
    if full < inside.size // 256:
        return False
    left = np.bincount(instances[~inside], minlength=len(areas) + 1)[1:]
    return all(rest >= share * area for rest, area in zip(left, areas))


def _outline_mask(
    rng: np.random.Generator, contours: Sequence[np.ndarray], size: int
) -> np.ndarray:
    """Coverage (S, S) in [0, 1] of one object at a random pose."""
    radius = size * rng.uniform(0.13, 0.24)
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    stretch = np.diag([1.0, rng.uniform(0.8, 1.0)])
    pose = np.array([[cos, -sin], [sin, cos]]) @ stretch * radius
    center = rng.uniform(0.7 * radius, size - 0.7 * radius, 2)
    canvas = np.zeros((size * _FINE, size * _FINE), np.uint8)
    points = [
        np.round((contour @ pose.T + center) * _FINE).astype(np.int32)
        for contour in contours
    ]
    cv2.fillPoly(canvas, points, 255)
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def add_object(
    rng: np.random.Generator,
    image: np.ndarray,
    alpha: np.ndarray,
    look: Look = CLEAR,
) -> np.ndarray:
    """Put a textured, shaded object with a soft shadow onto the image."""
    shift = rng.integers(1, 4, 2)
    shadow = cv2.GaussianBlur(np.roll(alpha, shift, (0, 1)), (0, 0), 2)
    share = alpha[..., None] / max(float(alpha.sum()), 1e-6)
    for _ in range(_TRIES):
        fill = _fill(rng, alpha.shape, look.fill)
        step = (share * (fill - image)).sum((0, 1))
        if np.linalg.norm(step) >= look.gap:
            break
    image = image * (1 - f32(0.35) * shadow[..., None])
    return image * (1 - alpha[..., None]) + fill * alpha[..., None]


def _fill(
    rng: np.random.Generator, shape: tuple[int, int], contrast: float
) -> np.ndarray:
    height, width = shape
    size = max(height, width)
    fill = texture(rng, size, contrast) * light(rng, size, 0.35)[..., None]
    return fill[:height, :width]


def _background(rng: np.random.Generator, size: int, look: Look) -> np.ndarray:
    image = texture(rng, size, look.ground) * light(rng, size, 0.3)[..., None]
    strokes = image.copy()
    for _ in range(rng.integers(*look.strokes, endpoint=True)):
        points = rng.uniform(0, size, (rng.integers(2, 5), 2))
        color = [float(c) for c in rng.uniform(20, 235, 3)]
        thickness = int(rng.integers(1, 4))
        cv2.polylines(
            strokes,
            [points.astype(np.int32)],
            bool(rng.random() < 0.2),
            color,
            thickness,
            cv2.LINE_AA,
        )
    mix = f32(rng.uniform(0.3, 0.8))
    return image * (1 - mix) + strokes * mix
