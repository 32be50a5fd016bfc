"""Filters that discard paintings too similar to the original.

A filter measures a painting, ``filter(before, after, box, label)``, says
whether it ``keeps`` one of that value and has a ``name`` for the report.

Shapes: images (H, W, 3) uint8 RGB, before and after the painting.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mmood.registry import PAINTERS

from .crops import Box


def pixel_distance(before: np.ndarray, after: np.ndarray) -> float:
    """``mean |after - before| / 255`` of two images, in [0, 1]."""
    difference = after.astype(np.int16) - before
    return float(np.abs(difference).mean() / 255)


def structural_distance(before: np.ndarray, after: np.ndarray) -> float:
    """``1 - SSIM`` of two images, in [0, 2]; 0 if they are equal.

    Per channel, with a Gaussian window of 11 x 11 pixels (sigma 1.5), or
    of the largest odd side that the image has room for. Source: Wang et
    al., "Image Quality Assessment: From Error Visibility to Structural
    Similarity", 2004. Raises ImportError without torchmetrics.
    """
    ssim = _ssim()
    first, second = (
        torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]
        for image in (before, after)
    )
    side = min(11, *before.shape[:2])
    radius = (side - 1) // 2
    # torchmetrics takes the window's radius to be int(3.5 sigma + 0.5).
    sigma = 1.5 if radius == 5 else max(radius / 3.5, 0.1)
    value = ssim(first, second, sigma=sigma, data_range=255.0)
    return min(max(1 - float(value), 0.0), 2.0)


def _ssim():
    try:
        from torchmetrics.functional.image import (
            structural_similarity_index_measure,
        )
    except ImportError as error:
        raise ImportError(
            'StructuralDistance needs torchmetrics: pip install '
            '"mmood[generation]"'
        ) from error
    return structural_similarity_index_measure


def _inside(image: np.ndarray, box: Box) -> np.ndarray:
    x1, y1, x2, y2 = box
    return image[y1:y2, x1:x2]


class _Distance:
    """A filter by a distance of the box before and after."""

    name = 'too_close'
    most: float  # the largest value that `measure` has
    measure: Callable[[np.ndarray, np.ndarray], float]

    def __init__(self, min_distance: float) -> None:
        if not 0 <= min_distance <= self.most:
            raise ValueError(
                f'min_distance must be in [0, {self.most}], got {min_distance}'
            )
        self.min_distance = min_distance

    def __call__(
        self, before: np.ndarray, after: np.ndarray, box: Box, label: str
    ) -> float:
        return self.measure(_inside(before, box), _inside(after, box))

    def keeps(self, value: float) -> bool:
        return value >= self.min_distance


@PAINTERS.register_module()
class PixelDistance(_Distance):
    """Keeps paintings that changed the box by `pixel_distance`.

    Args:
        min_distance: the least that is kept, in [0, 1].
    """

    most = 1
    measure = staticmethod(pixel_distance)

    def __init__(self, min_distance: float = 0.05) -> None:
        super().__init__(min_distance)


@PAINTERS.register_module()
class StructuralDistance(_Distance):
    """Keeps paintings that changed the box by `structural_distance`.

    Args:
        min_distance: the least that is kept, in [0, 2].
    """

    most = 2
    measure = staticmethod(structural_distance)

    def __init__(self, min_distance: float = 0.2) -> None:
        super().__init__(min_distance)
        _ssim()  # rather now than after the first painting
