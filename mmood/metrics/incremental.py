"""Measures of class-incremental detection.

Shapes: K classes, T IoU thresholds.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .detection import EmptySetWarning
from .image_detections import ImageDetections, check_labels
from .inputs import as_array
from .voc import check_style, match_classes


def class_ap(
    images: Sequence[ImageDetections],
    num_classes: int,
    ious: Sequence[float],
    style: str = '11points',
    unknown: bool = False,
) -> np.ndarray:
    """VOC average precision of each class at each IoU, (T, K) in [0, 1].

    nan for a class without objects. Boxes are continuous: the width is
    x2 - x1. ``unknown`` permits the label K, which is no class. Raises
    ValueError for another style (`voc_average_precision`) and for other
    labels that are no class.
    """
    check_style(style)
    check_labels(images, num_classes, unknown)
    matches = match_classes(images, range(num_classes), ious)
    return (
        np.array(
            [
                [m.average_precision(style) for m in of_class]
                for of_class in matches
            ]
        )
        .reshape(num_classes, len(ious))
        .T
    )


def group_means(
    ap: ArrayLike, groups: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Mean of ``ap`` (K,) over each group of classes, in the unit of ``ap``.

    Classes without objects (nan) do not count, and a group without classes
    is left out. A group of which no class counts is nan, with a warning.
    Raises ValueError for a class that ``ap`` does not have, and if it is not
    (K,).
    """
    ap = _per_class(ap, 'ap')
    return {
        name: _mean(ap, classes, f'group {name!r}')
        for name, classes in groups.items()
        if len(classes)
    }


def forgetting(
    before: ArrayLike, after: ArrayLike, old: Sequence[int]
) -> float:
    """Mean over the classes ``old`` of ``before - after``, (K,), (K,).

    What the classes that were known lost by learning others, in the unit of
    the arguments; negative if they gained. A class that is nan in either
    does not count; nan with a warning if none counts. Raises ValueError if
    the shapes differ or a class is not there.
    """
    before, after = _per_class(before, 'before'), _per_class(after, 'after')
    if before.shape != after.shape:
        raise ValueError(
            f'before has shape {before.shape}, after {after.shape}; both '
            'must hold a value for each class'
        )
    return _mean(before - after, old, 'old')


def _per_class(values: ArrayLike, name: str) -> np.ndarray:
    """(K,), float64; nan for a class without objects."""
    array = as_array(values, name).astype(np.float64)
    if array.ndim != 1:
        raise ValueError(
            f'{name} must hold a value for each class, got {array.shape}'
        )
    return array


def _mean(values: np.ndarray, classes: Sequence[int], name: str) -> float:
    wrong = [c for c in classes if not 0 <= c < len(values)]
    if wrong:
        raise ValueError(
            f'{name} has the classes {wrong}; there are 0 to {len(values) - 1}'
        )
    chosen = values[np.asarray(classes, dtype=np.int64)]
    chosen = chosen[~np.isnan(chosen)]
    if chosen.size:
        return float(chosen.mean())
    warnings.warn(
        f'no class of {name} has objects: its mean is nan',
        EmptySetWarning,
        stacklevel=3,
    )
    return float('nan')
