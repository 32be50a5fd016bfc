"""The confidence loss: no class is likelier than another on outliers.

Shapes: N known and M outlier samples, K classes, * any trailing shape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmood.ops import or_one
from mmood.registry import MODELS


def confidence_loss(
    outlier_logits: Tensor, avg_factor: float | Tensor | None = None
) -> Tensor:
    """Mean ``KL[U || softmax(v)] = -log K - mean_k log p_k``, nats, >= 0.

    v are the outliers' logits (M, K, *) without the background's, U gives
    each class 1/K. Divided by ``avg_factor`` instead of their number if
    given. 0 for none of them and for K = 1.
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
    if outlier_logits.dtype in (torch.float16, torch.bfloat16):
        outlier_logits = outlier_logits.float()
    log_p = outlier_logits.log_softmax(1)
    divergence = -log_p.mean(1) - math.log(classes)
    count = divergence.numel() if avg_factor is None else avg_factor
    return divergence.sum() / or_one(count)


@MODELS.register_module()
class ConfidenceLoss(nn.Module):
    """``loss_weight`` times `confidence_loss`; the weight is Lee's beta.

    Known samples add nothing: their term is the classifier's own loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        known_logits: Tensor,
        outlier_logits: Tensor,
        known_factor: float | Tensor | None = None,
        outlier_factor: float | Tensor | None = None,
    ) -> Tensor:
        loss = confidence_loss(outlier_logits, outlier_factor)
        return self.loss_weight * loss + known_logits[:0].sum()
