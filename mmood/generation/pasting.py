"""Pasting an object into an image and its label.

Shapes: images (H, W, 3) uint8, labels (H, W), cutouts (h, w).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .objects import Cutout
from .procedural import noise_level
from .textures import f32

SOLID = 128  # alpha from which a pixel is the object's


def soft_edges(cutout: Cutout, sigma: float) -> Cutout:
    """A cutout whose alpha rises from 0 at the edge of the object.

    Over about ``sigma`` pixels inside it, so that nothing of what was around
    the object comes along. 0: as it is.
    """
    if sigma <= 0:
        return cutout
    margin = int(np.ceil(3 * sigma))
    wide = np.pad(cutout.alpha, margin)
    blurred = cv2.GaussianBlur(wide, (0, 0), sigma)
    inner = blurred[margin:-margin, margin:-margin]
    inner = cv2.addWeighted(inner, 2, inner, 0, -255)  # 0 at the edge
    alpha = np.minimum(inner, cutout.alpha)
    return Cutout(cutout.image, alpha, cutout.name, cutout.is_drawn)


def lit_like(
    cutout: Cutout, ground: np.ndarray, strength: float
) -> np.ndarray:
    """The cutout's pixels, (h, w, 3) float32, as bright as the ground.

    Their mean brightness goes ``strength`` of the way, in the logarithm, to
    that of the ground (h, w, 3), by a factor from 1/2 to 2.
    """
    image = cutout.image.astype(np.float32)
    if strength:
        own = cv2.mean(cutout.image, cutout.alpha)[:3]
        there = cv2.mean(ground)[:3]
        ratio = (sum(there) + 3) / (sum(own) + 3)
        image *= f32(np.clip(ratio**strength, 0.5, 2))
    return image


def paste(
    image: np.ndarray,
    labels: np.ndarray,
    cutout: Cutout,
    corner: tuple[int, int],
    label: int,
    rng: np.random.Generator,
    *,
    match: float = 0.0,
) -> int:
    """Paste with the top left corner at (x, y), in place; pixels labelled.

    ``match`` as the strength of `lit_like`. Drawn objects get the noise that
    the image has there. Pixels that are more the object than the ground get
    the label, whatever they had before.
    """
    (x, y), (height, width) = corner, cutout.alpha.shape
    where = slice(y, y + height), slice(x, x + width)
    ground = image[where]
    own = lit_like(cutout, ground, match)
    if cutout.is_drawn:
        noise = rng.standard_normal(own.shape, np.float32)
        own += f32(noise_level(ground)) * noise
    alpha = cutout.alpha.astype(np.float32)[..., None] / 255
    start = ground.astype(np.float32)
    mixed = start + alpha * (own - start)
    image[where] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    is_object = cutout.alpha >= SOLID
    labels[where][is_object] = label
    return int(np.count_nonzero(is_object))


def random_corner(
    rng: np.random.Generator,
    labels: np.ndarray,
    size: tuple[int, int],
    ground: Sequence[int] = (),
) -> tuple[int, int]:
    """Where a cutout of ``size`` (h, w) goes, (x, y) of its top left corner.

    Anywhere within the image; with ``ground`` so that the middle of its
    bottom stands on a pixel of one of those labels, if there is one where it
    fits.
    """
    (rows, columns), (height, width) = labels.shape, size
    if ground:
        left, top = width // 2, height - 1
        table = np.zeros(256, bool)
        table[list(ground)] = True
        free = labels[top:, left : columns - (width - left) + 1]
        places = np.flatnonzero(table[free])
        if len(places):
            y, x = divmod(
                int(places[rng.integers(len(places))]), free.shape[1]
            )
            return x, y
    return (
        int(rng.integers(columns - width + 1)),
        int(rng.integers(rows - height + 1)),
    )
