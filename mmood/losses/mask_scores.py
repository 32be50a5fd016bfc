"""Losses on what the masks of a segmentor leave unexplained.

Shapes: B images, K classes, h x w cells of the masks. ``L_k`` are the sums
over masks, see `mmood.seg.models.heads.mask_sums`.
"""

from __future__ import annotations

from torch import Tensor

from mmood.registry import MODELS

from .batch import Batch
from .pixels import PixelLoss, mean_of_sides, squared_hinge


@MODELS.register_module()
class RbALoss(PixelLoss):
    """``w/2 (mean relu(s_id - t_id)^2 + mean relu(t_ood - s_ood)^2)``.

    ``s = -sum_k tanh(L_k)`` is RbA's score, of known pixels and of outliers;
    each mean is over those of all ranks. A scalar >= 0; computed in float32
    also under autocast. For logits of the kind ``'mask'``.
    Source: Nayal et al., "RbA: Segmenting Unknown Regions Rejected by All",
    ICCV 2023, Eq. 7; thresholds and weight are the public code's, which
    leaves out the 1/2 where a batch has no outlier and adds the loss of each
    layer of the decoder; this one is of the last layer.

    Args:
        known_threshold: t_id.
        outlier_threshold: t_ood.
        loss_weight: w.

    Raises ValueError unless t_id < t_ood.
    """

    kinds = ('mask',)

    def __init__(
        self,
        known_threshold: float = -1.0,
        outlier_threshold: float = -0.1,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not known_threshold < outlier_threshold:
            raise ValueError(
                f'known_threshold={known_threshold} must be below '
                f'outlier_threshold={outlier_threshold}: outliers have the '
                'higher score'
            )
        self.known_threshold = known_threshold
        self.outlier_threshold = outlier_threshold
        self.loss_weight = loss_weight

    def score(self, logits: Tensor, kind: str) -> Tensor:
        return -logits.tanh().sum(1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        bounds = self.known_threshold, self.outlier_threshold
        loss = squared_hinge(self.scores(batch), batch.labels, *bounds)
        return dict(loss_rba=self.loss_weight / 2 * loss)


@MODELS.register_module()
class Mask2AnomalyLoss(PixelLoss):
    """``w/2 (mean s_id^2 + mean relu(margin - s_ood)^2)``.

    ``s = 1 - max_k L_k`` is Mask2Anomaly's score, of known pixels and of
    outliers; each mean is over those of all ranks. A scalar >= 0; computed
    in float32 also under autocast. For logits of the kind ``'mask'``.
    Source: Rai et al., "Unmasking Anomalies in Road-Scene Segmentation",
    ICCV 2023, Sec. 3.3; margin and weight are the public code's.

    Args:
        margin: what the score of outliers should exceed.
        loss_weight: w.
        shift: c in ``s = c - max_k L_k``. The public code has c = 0, so that
            it asks for small L on known pixels too and leaves it to the
            segmentor's own losses to hold against it; the score that it
            tests with has c = 1, for which 0 means known.

    Raises ValueError for a margin that is not positive.
    """

    kinds = ('mask',)

    def __init__(
        self,
        margin: float = 1.0,
        loss_weight: float = 1.0,
        shift: float = 1.0,
    ) -> None:
        super().__init__()
        if margin <= 0:
            raise ValueError(f'margin must be positive, got {margin}')
        self.margin, self.loss_weight = margin, loss_weight
        self.shift = shift

    def score(self, logits: Tensor, kind: str) -> Tensor:
        return self.shift - logits.amax(1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        scores = self.scores(batch)
        below = (self.margin - scores).relu().square()
        loss = mean_of_sides(scores.square(), below, batch.labels)
        return dict(loss_mask2anomaly=self.loss_weight / 2 * loss)
