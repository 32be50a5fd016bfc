"""What a head assigns to objects, out of its targets.

Shapes: n priors or queries of an image, K known classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmood.losses import BACKGROUND, IGNORE, OUTLIER


def assigned_labels(targets: Sequence, num_classes: int) -> Tensor | None:
    """Labels (n,) out of what ``_get_targets_single`` of a head returns.

    MMDetection's heads have among these the labels of all priors, with K for
    background, and behind them weights, 0 for those that do not count; or,
    as YOLOX, a mask of the foreground and its classes. None if they have
    neither. Labels below 0 are of objects flagged OOD, which only heads
    without weights may have.
    """
    mask = targets[0]
    if isinstance(mask, Tensor) and mask.dtype == torch.bool:
        classes = targets[1]
        if classes.dim() != 2 or classes.shape[1] != num_classes:
            return None
        labels = torch.full_like(mask, BACKGROUND, dtype=torch.long)
        labels[mask] = classes.argmax(1)
        return labels
    rows = [p for p in targets if isinstance(p, Tensor) and p.dim() == 1]
    if not rows or rows[0].is_floating_point():
        return None
    labels = torch.where(rows[0] < num_classes, rows[0], BACKGROUND)
    weights = _weights(targets, len(labels))
    if weights is None:
        return labels.masked_fill(rows[0] < 0, OUTLIER)
    return labels.masked_fill(weights == 0, IGNORE)


def left_out(
    targets: Sequence, labels: Tensor, flagged: Tensor
) -> Tensor | None:
    """The labels with `OUTLIER` for flagged rows (n,) bool.

    Their weights become 0, or the objectness of a head with a mask -1, in
    place: see `mmood.det.models.flags.without_negatives`. None for targets
    that have neither.
    """
    weights = _weights(targets, len(labels))
    if weights is None:
        shape = (len(labels), 1)
        weights = next((p for p in targets if _is_float(p, shape)), None)
    if weights is None:
        return None
    weights[flagged] = 0 if weights.dim() == 1 else -1
    return labels.masked_fill(flagged, OUTLIER)


def _weights(targets: Sequence, count: int) -> Tensor | None:
    """Weights (n,) of labels, the second among the targets of rows."""
    rows = [p for p in targets if isinstance(p, Tensor) and p.dim() == 1]
    second = rows[1] if len(rows) > 1 else None
    return second if _is_float(second, (count,)) else None


def _is_float(part: object, shape: tuple[int, ...]) -> bool:
    if not isinstance(part, Tensor) or not part.is_floating_point():
        return False
    return part.shape == shape
