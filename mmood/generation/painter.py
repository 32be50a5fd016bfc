"""The interface of painters, and painting a box of an image with one.

Shapes: images (H, W, 3) uint8 RGB, crops (h, w, 3), masks (h, w) bool.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .crops import (
    Box,
    blend,
    box_mask,
    padded_box,
    paint_size,
    resize_image,
    resize_mask,
    soft_mask,
)


@dataclass
class Painting:
    """A painted crop, and JSON-able provenance: prompt, std, ..."""

    image: np.ndarray
    how: dict


class Painter(ABC):
    """Something that paints into the masked part of a crop.

    Attributes:
        size: longer side, in pixels, of the crops it wants; None takes them
            as they come.
        multiple: the sides of its crops are multiples of this.
        name: model id or folder, or another name for the provenance.
    """

    size: int | None = None
    multiple: int = 1
    name: str

    def check_classes(self, classes: Sequence[str]) -> None:  # noqa: B027
        """Raise ValueError for classes that it cannot paint; here: none."""

    @abstractmethod
    def paint(
        self, crop: np.ndarray, mask: np.ndarray, label: str, seed: int
    ) -> Painting | None:
        """Paint into a crop (h, w, 3) where the mask (h, w) is True.

        Returns a picture of the crop's shape, the same for the same
        arguments, or None if the painter refuses (a safety checker).
        ``label`` is the class that the object had.
        """


def paint_box(
    image: np.ndarray,
    box: Box,
    painter: Painter,
    label: str,
    seed: int,
    *,
    padding: float = 0.25,
    feather: int = 4,
    keep: Sequence[Box] = (),
) -> tuple[np.ndarray, dict] | None:
    """A copy of the image with the box repainted, and its provenance.

    The painter sees the padded box at its own resolution and paints the box
    without the boxes in ``keep``. The soft edge, ``feather`` pixels wide,
    lies around the box. Pixels outside the padded box and in ``keep`` are
    those of the image, bit by bit. The provenance is the painter's ``how``,
    with ``padded_box`` and ``paint_size`` (height, width). None if the
    painter refused.

    Args:
        padding: room on each side, as a share of the longer side.

    Raises ValueError for an image that is not (H, W, 3) uint8, a box that
    is empty or not in it, negative padding or feather, boxes to keep that
    leave nothing to paint, and a painting of another shape than its crop.
    """
    _check(image, box, padding, feather)
    height, width = image.shape[:2]
    around = padded_box(box, width, height, padding)
    mask = box_mask(box, around, keep)
    if not mask.any():
        raise ValueError(f'keep leaves nothing of the box {box} to paint')
    rows, columns = slice(*around[1::2]), slice(*around[::2])
    crop = image[rows, columns]
    high, wide = mask.shape
    size = paint_size(high, wide, painter.size, painter.multiple)
    # A copy: a painter may draw into what it was given.
    model_crop = np.array(resize_image(crop, *size), order='C')
    painting = painter.paint(
        model_crop, resize_mask(mask, *size).copy(), label, seed
    )
    if painting is None:
        return None
    _check_painting(painting.image, size, painter)
    painted = resize_image(painting.image, *mask.shape)
    result = image.copy()
    alpha = soft_mask(box, around, feather, keep)
    result[rows, columns] = blend(crop, painted, alpha)
    how = dict(
        painting.how, padded_box=list(map(int, around)), paint_size=list(size)
    )
    return result, how


def _check(image: np.ndarray, box: Box, padding: float, feather: int) -> None:
    if image.dtype != np.uint8 or image.shape[2:] != (3,):
        raise ValueError(
            f'image must be (H, W, 3) uint8, got {image.shape} {image.dtype}'
        )
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ValueError(
            f'box {box} must be within the image of {width} x {height} '
            'pixels and not empty; see clip_box'
        )
    if padding < 0 or feather < 0:
        raise ValueError(
            'padding and feather must not be negative, got '
            f'{padding} and {feather}'
        )


def _check_painting(
    image: np.ndarray, size: tuple[int, int], painter: Painter
) -> None:
    if image.shape != (*size, 3) or image.dtype != np.uint8:
        raise ValueError(
            f'{type(painter).__name__}.paint must return an image of shape '
            f'{(*size, 3)} uint8, got {image.shape} {image.dtype}'
        )
