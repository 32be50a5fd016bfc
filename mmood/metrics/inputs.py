"""Checking what metrics are given, as numpy arrays.

Shapes: N entries of any shape.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike


class NanScoreError(ValueError):
    """A score is not a number: what it measures has no value."""


def as_array(values: ArrayLike, name: str) -> np.ndarray:
    """A list, array or tensor (of any device and precision) of numbers.

    Real numbers come out as they are, but bfloat16 as float32. Raises
    ValueError for what holds none, and for an array that masks some.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        if values.dtype == torch.bfloat16:  # which numpy does not know
            values = values.float()
    if np.ma.is_masked(values):
        count = int(np.ma.getmaskarray(np.ma.asarray(values)).sum())
        raise ValueError(f'{name} has {count} masked entries: drop them')
    try:
        array = np.asarray(values)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f'{name} must be numbers: {error}') from error
    if array.dtype.kind not in 'biuf':
        raise ValueError(f'{name} must be real numbers, got {array.dtype}')
    return array


def as_scores(values: ArrayLike, name: str = 'scores') -> np.ndarray:
    """Scores of any shape, floating; infinite ones are the most extreme.

    Raises `NanScoreError` for nan, ValueError for what is no number.
    """
    array = as_array(values, name)
    if array.dtype.kind != 'f':
        array = array.astype(np.float64)
    nans = int(np.isnan(array).sum())
    if nans:
        raise NanScoreError(f'{name} has {nans} nan of {array.size}')
    return array


def as_sides(values: ArrayLike, name: str = 'is_positive') -> np.ndarray:
    """Which entries are positive, bool of any shape.

    Raises ValueError for other numbers than 0 and 1, such as the label 255
    of ignored pixels.
    """
    array = as_array(values, name)
    if array.dtype != bool:
        wrong = array[(array != 0) & (array != 1)]
        if wrong.size:
            raise ValueError(
                f'{name} must be 0 or 1, got {wrong[0]} ({wrong.size} of '
                f'{array.size} are neither): drop ignored entries before'
            )
    return array.astype(bool, copy=False)


def as_scored_sides(
    scores: ArrayLike, is_positive: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """`as_scores` and `as_sides` of the same entries, each (N,).

    Raises ValueError unless both have one shape (axes of length one apart).
    """
    scores, positive = as_scores(scores), as_sides(is_positive)
    if scores.size != positive.size:
        raise ValueError(
            f'scores has {scores.size} entries and is_positive '
            f'{positive.size}; they must agree'
        )
    if scores.squeeze().shape != positive.squeeze().shape:
        raise ValueError(
            f'scores is {scores.shape} and is_positive {positive.shape}; '
            'they must have the same shape'
        )
    return scores.ravel(), positive.ravel()


def as_boxes(values: ArrayLike, name: str) -> np.ndarray:
    """Boxes (n, 4), float64; nothing is (0, 4).

    Raises ValueError for another shape and for nan or infinite coordinates.
    """
    array = as_array(values, name)
    if not array.size:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f'{name} must be (n, 4), got {array.shape}')
    bad = int((~np.isfinite(array).all(axis=1)).sum())
    if bad:
        raise ValueError(
            f'{name} has {bad} of {len(array)} boxes with nan or infinite '
            'coordinates'
        )
    return array.astype(np.float64, copy=False)


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless a share is above 0 and at most 1."""
    if not 0 < value <= 1:
        raise ValueError(f'{name} must be in (0, 1], got {value}')
