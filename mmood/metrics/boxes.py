"""Overlap of boxes, (x1, y1, x2, y2) in pixels."""

from __future__ import annotations

import numpy as np


def box_iou(a: np.ndarray, b: np.ndarray, offset: float = 0.0) -> np.ndarray:
    """Intersection over union, (*, 4), (*, 4) -> (*), in [0, 1].

    The leading dimensions broadcast: rows with rows, or ``a[:, None]`` with
    ``b`` for all pairs. ``offset`` is added to widths and heights: 1 where
    x2 and y2 name the last pixel, as in PASCAL VOC. Two boxes without area
    have 0.
    """
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    inter = np.clip(high - low + offset, 0, None).prod(-1)
    area_a = (a[..., 2:] - a[..., :2] + offset).prod(-1)
    area_b = (b[..., 2:] - b[..., :2] + offset).prod(-1)
    return inter / np.maximum(area_a + area_b - inter, 1e-12)
