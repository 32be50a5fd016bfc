"""Losses that see a column for the unknown.

Shapes: R RoIs, K known classes, columns: K known, unknown, background.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .batch import BACKGROUND, OUTLIER, Batch, OODLoss


class OpenSetLoss(OODLoss):
    """A loss whose batches have logits (R, K + 2): K is unknown's column.

    `mmood.OpenSetRoIHead` gives it such batches if it has an
    ``unknown_class``, and refuses it otherwise.
    """


def columns_of(batch: Batch) -> Tensor:
    """Labels (R,) as columns of the logits: unknown K, background K + 1.

    Rows to be ignored keep their negative label. Raises ValueError for
    logits of any other number of columns than K + 2.
    """
    known, columns = batch.num_classes, batch.logits.shape[1]
    if columns != known + 2:
        raise ValueError(
            f'a batch of {known} known classes needs logits (R, {known + 2}) '
            f'with columns for unknown and background, got {columns}: set '
            'unknown_class=True of mmood.OpenSetRoIHead'
        )
    labels = torch.where(batch.labels == OUTLIER, known, batch.labels)
    return torch.where(labels == BACKGROUND, known + 1, labels)
