"""Detections and annotated objects of one image, checked.

Shapes: n detections and G annotated objects; boxes are (x1, y1, x2, y2) in
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .inputs import as_array, as_boxes, as_scores, as_sides


def _as_labels(values: ArrayLike, name: str) -> np.ndarray:
    """Whole numbers (n,), int64."""
    labels = as_array(values, name).ravel()
    with np.errstate(invalid='ignore'):
        whole = labels.astype(np.int64)
    if (whole != labels).any():
        wrong = labels[whole != labels][0]
        raise ValueError(f'{name} must be whole numbers, got {wrong}')
    return whole


_FIELDS = dict(
    boxes=as_boxes,
    scores=as_scores,
    labels=_as_labels,
    gt_boxes=as_boxes,
    gt_labels=_as_labels,
    gt_difficult=as_sides,
)


@dataclass(frozen=True, eq=False)
class ImageDetections:
    """Detections and annotated objects of one image.

    ``boxes`` (n, 4), ``scores`` (n,), ``labels`` (n,), ``gt_boxes`` (G, 4),
    ``gt_labels`` (G,) and ``gt_difficult`` (G,) bool. With K known classes
    the labels are 0 to K - 1, and K says unknown. Lists and tensors become
    arrays.
    Raises ValueError if the numbers of rows differ, and for nan scores, nan
    or infinite boxes and labels that are no whole numbers.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    gt_boxes: np.ndarray
    gt_labels: np.ndarray
    gt_difficult: np.ndarray

    def __post_init__(self) -> None:
        for name, check in _FIELDS.items():
            value = check(getattr(self, name), name)
            object.__setattr__(self, name, value)
        for names in (
            ('boxes', 'scores', 'labels'),
            ('gt_boxes', 'gt_labels', 'gt_difficult'),
        ):
            rows = {name: len(getattr(self, name)) for name in names}
            if len(set(rows.values())) > 1:
                raise ValueError(f'{rows} rows; the numbers must agree')


def check_labels(
    images: Sequence[ImageDetections], num_classes: int, unknown: bool = False
) -> None:
    """Raise ValueError for labels that are no class, nor K for unknown."""
    highest = num_classes if unknown else num_classes - 1
    for index, image in enumerate(images):
        for name in ('labels', 'gt_labels'):
            labels = getattr(image, name)
            wrong = labels[(labels < 0) | (labels > highest)]
            if wrong.size:
                other = f', or {highest} for unknown' if unknown else ''
                raise ValueError(
                    f'{name} must be 0 to {num_classes - 1}{other}, got '
                    f'{wrong[0]} in image number {index}'
                )
