"""Image transforms."""

from __future__ import annotations

import cv2
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from numpy.random import random, uniform

from mmood.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Blur the image: the "Blur-Aug" row of DFDD's Table 1.

    sigma in pixels, uniform in ``sigma_range``; the kernel covers three
    sigma to each side. The paper states neither range nor probability.
    Raises ValueError for a probability outside 0..1 or a range that is not
    ``0 < low <= high``.
    """

    def __init__(
        self,
        prob: float = 0.5,
        sigma_range: tuple[float, float] = (0.1, 2.0),
    ) -> None:
        low, high = sigma_range
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in 0..1, got {prob}')
        if not 0 < low <= high:
            raise ValueError(
                f'sigma_range must satisfy 0 < low <= high, got {sigma_range}'
            )
        self.prob, self.sigma_range = prob, (low, high)

    @cache_randomness
    def _sigma(self) -> float | None:
        return uniform(*self.sigma_range) if random() < self.prob else None

    def transform(self, results: dict) -> dict:
        sigma = self._sigma()
        if sigma is not None:
            results['img'] = cv2.GaussianBlur(results['img'], (0, 0), sigma)
        return results
