"""Losses on pixels: known ones against those of outlier objects.

Shapes: B images, K classes, H x W pixels of the labels, h x w of the logits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import rank_mean

from .batch import OUTLIER, Batch, OODLoss


class PixelLoss(OODLoss):
    """Base of the losses whose `Batch` holds maps, for ``pixel_losses``.

    Then ``logits`` are (B, K, h, w) with gradients, of the kind ``'mask'``
    the sums over masks, ``labels`` (B, H, W) with `IGNORE` and `OUTLIER`. For
    a loss that reads ``'view'`` there are ``inputs``, the images, and
    ``view``: from them to the `Samples` with logits like these.
    """

    needs_outliers = True
    of_pixels = True

    def attach(self, model: nn.Module) -> None:
        """Find what the loss wants to know of its segmentor, if anything.

        Raises ValueError if that is not there.
        """

    def score(self, logits: Tensor, kind: str) -> Tensor:
        """Of logits (B, K, h, w) in float32, (B, h, w)."""
        raise NotImplementedError

    def scores(self, batch: Batch) -> Tensor:
        """Those of the pixels, (B, H, W), float32 also under autocast.

        They are brought to the size of the labels bilinearly, with aligned
        corners, as RbA's and Mask2Anomaly's public code does.
        """
        with torch.autocast(batch.logits.device.type, enabled=False):
            logits = batch.logits[:, : batch.num_classes].float()
            scores, size = self.score(logits, batch.kind), batch.labels.shape
            if scores.shape == size:
                return scores
            return F.interpolate(
                scores[:, None], size[1:], mode='bilinear', align_corners=True
            )[:, 0]


def mean_of_sides(known: Tensor, outlier: Tensor, labels: Tensor) -> Tensor:
    """The mean of ``known`` over known pixels, plus that of ``outlier``.

    Values (B, H, W) of all pixels, which count where labels (B, H, W) say
    so; a scalar. Each mean is over the pixels of all ranks; without any it
    is 0 and keeps the graph. A collective call.
    """
    return rank_mean(known, labels >= 0) + rank_mean(
        outlier, labels == OUTLIER
    )


def squared_hinge(
    scores: Tensor, labels: Tensor, highest: float, lowest: float
) -> Tensor:
    """``mean relu(s - highest)^2 + mean relu(lowest - s)^2``, >= 0.

    The first over known pixels, the second over outliers, as in
    `mean_of_sides`.
    """
    above = (scores - highest).relu().square()
    return mean_of_sides(above, (lowest - scores).relu().square(), labels)
