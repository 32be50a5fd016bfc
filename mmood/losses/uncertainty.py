"""The uncertainty loss: low energy on known samples, high on outliers.

Shapes: N known and M outlier samples, K classes, * any trailing shape.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import or_one
from mmood.registry import MODELS
from mmood.scores import energy


def uncertainty_loss(
    known_logits: Tensor,
    outlier_logits: Tensor,
    *,
    known_factor: float | Tensor | None = None,
    outlier_factor: float | Tensor | None = None,
) -> Tensor:
    """``mean softplus(E(u)) + mean softplus(-E(v))``, a scalar >= 0, nats.

    u are known, v outlier logits, (N, K, *) and (M, K, *), without the
    background's. ``-log(exp(-E) / (1 + exp(-E))) = softplus(E)``.
    The factors divide the sums instead of the counts N and M; give the mean
    count over all ranks so that n processes equal one. An empty side adds 0.
    Source: DFDD (ICCV 2023), Eq. 8.
    """
    known = F.softplus(energy(known_logits))
    outlier = F.softplus(-energy(outlier_logits))
    if known_factor is None:
        known_factor = known.numel()
    if outlier_factor is None:
        outlier_factor = outlier.numel()
    return known.sum() / or_one(known_factor) + outlier.sum() / or_one(
        outlier_factor
    )


@MODELS.register_module()
class UncertaintyLoss(nn.Module):
    """``loss_weight`` times `uncertainty_loss`; the weight is DFDD's tau."""

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        known_logits: Tensor,
        outlier_logits: Tensor,
        known_factor: float | Tensor | None = None,
        outlier_factor: float | Tensor | None = None,
    ) -> Tensor:
        return self.loss_weight * uncertainty_loss(
            known_logits,
            outlier_logits,
            known_factor=known_factor,
            outlier_factor=outlier_factor,
        )
