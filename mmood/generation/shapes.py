"""Shapes: drawing small scenes with known and unknown objects.

Everything about an object but its outline is random and independent of its
class: colours, texture, shading, size, rotation, stretch, place. The
background is textured and cluttered with strokes that are no objects.

Shapes: images (S, S, 3) uint8, BGR as OpenCV has it; masks (S, S) uint8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .outlines import FAR, ID, NEAR
from .textures import f32, light, texture

__all__ = ['FAR', 'ID', 'NEAR', 'Scene', 'render_scene']

_FINE = 4  # outlines are drawn this much larger, then averaged


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
    image = _background(rng, size)
    instances = np.zeros((size, size), np.uint8)
    areas: list[int] = []
    names: list[str] = []
    for _ in range(rng.integers(1, max_objects + 1)):
        name = str(rng.choice(list(outlines)))
        for _ in range(8):
            alpha = _outline_mask(rng, outlines[name], size)
            inside = alpha > 0.5
            if _fits(inside, instances, areas, min_visible):
                areas.append(int(inside.sum()))
                names.append(name)
                instances[inside] = len(names)
                image = add_object(rng, image, alpha)
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
    rng: np.random.Generator, image: np.ndarray, alpha: np.ndarray
) -> np.ndarray:
    """Put a textured, shaded object with a soft shadow onto the image."""
    height, width = alpha.shape
    size = max(height, width)
    shift = rng.integers(1, 4, 2)
    shadow = cv2.GaussianBlur(np.roll(alpha, shift, (0, 1)), (0, 0), 2)
    image = image * (1 - f32(0.35) * shadow[..., None])
    fill = texture(rng, size, 0.5) * light(rng, size, 0.35)[..., None]
    fill = fill[:height, :width]
    return image * (1 - alpha[..., None]) + fill * alpha[..., None]


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    image = texture(rng, size, 0.7) * light(rng, size, 0.3)[..., None]
    strokes = image.copy()
    for _ in range(rng.integers(2, 8)):
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
