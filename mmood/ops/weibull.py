"""Weibull densities of values above a shift.

Shapes: N and M values, * any shape. With shape c, scale s and z = x - shift
the density is ``c / s (z / s)^(c - 1) exp(-(z / s)^c)``, and 0 for z <= 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

_FLOOR = -1e30


@dataclass(frozen=True)
class Weibull:
    """One density, of a ``shape`` c and a ``scale`` s above a ``shift``."""

    shape: float
    scale: float
    shift: float


def fit_weibull(values: np.ndarray, shift: float) -> Weibull:
    """Shape and scale of the highest likelihood of M values above a shift.

    The likelihood has one maximum in these two; in the shift it has none, as
    it grows without bounds towards the smallest value (for shapes below 1).
    Raises ValueError for values that are not above ``shift``, or not two
    different ones.
    """
    z = np.asarray(values, dtype=float) - shift
    if not len(z) or not z.min() > 0 or z.min() == z.max():
        raise ValueError(
            'a Weibull density needs at least two different values, all '
            f'above shift={shift}, got {np.asarray(values)}'
        )
    largest = z.max()
    logs = np.log(z / largest)

    def slope(shape: float) -> float:
        """Derivative by the shape at its best scale; it only grows."""
        weights = np.exp(shape * logs)
        return weights @ logs / weights.sum() - logs.mean() - 1 / shape

    high = 1.0
    while slope(high) < 0:
        high *= 2
    low = high
    while slope(low) > 0:
        low /= 2
    shape = brentq(slope, low, high) if low < high else high
    scale = largest * np.exp(shape * logs).mean() ** (1 / shape)
    return Weibull(float(shape), float(scale), float(shift))


def log_weibull_density(x: Tensor, density: Weibull) -> Tensor:
    """Log density (N,) -> (N,), at least -1e30, also where it is 0."""
    z = (x.double() - density.shift).clamp(min=0) / density.scale
    constant = math.log(density.shape / density.scale)
    log = constant + (density.shape - 1) * z.log() - z**density.shape
    return torch.where(z > 0, log, _FLOOR).clamp(min=_FLOOR).to(x.dtype)


def weibull_cdf(
    x: Tensor, shape: Tensor, scale: Tensor, shift: Tensor
) -> Tensor:
    """``1 - exp(-(z / s)^c)``, (*) -> (*), in [0, 1], 0 for z <= 0.

    The parameters are broadcast to x; an infinite scale gives 0 everywhere.
    """
    z = (x - shift).clamp(min=0) / scale
    return -torch.expm1(-(z**shape))
