"""The confidence loss: no class is likelier than another on outliers.

Shapes: N known and M outlier samples, K classes, * any trailing shape.
"""

from __future__ import annotations

import math

from torch import Tensor

from mmood.ops import raised, rank_mean
from mmood.registry import MODELS

from .batch import Batch, OODLoss


def confidence_loss(outlier_logits: Tensor) -> Tensor:
    """Mean ``KL[U || softmax(v)] = -log K - mean_k log p_k``, nats, >= 0.

    v are the outliers' logits (M, K, *) without the background's, U gives
    each class 1/K. 0 for none of them and for K = 1. The mean is over all
    ranks, a collective call.
    Source: Lee et al., "Training Confidence-calibrated Classifiers for
    Detecting Out-of-Distribution Samples", ICLR 2018, Eq. 1, second term.
    Raises ValueError for K = 0.
    """
    classes = outlier_logits.shape[1]
    if classes == 0:
        raise ValueError(
            f'outlier_logits of shape {tuple(outlier_logits.shape)} have no '
            'class in dimension 1'
        )
    log_p = raised(outlier_logits).log_softmax(1)
    return rank_mean(-log_p.mean(1) - math.log(classes))


@MODELS.register_module()
class ConfidenceLoss(OODLoss):
    """``loss_weight`` times `confidence_loss`; the weight is Lee's beta.

    Known samples add nothing: their term is the classifier's own loss.
    """

    needs_outliers = True
    kinds = ('softmax',)

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        _, outlier = batch.contrast()
        loss = confidence_loss(outlier.logits)
        return dict(loss_uncertainty=self.loss_weight * loss)
