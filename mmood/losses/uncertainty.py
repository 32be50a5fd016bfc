"""The uncertainty loss: low energy on known samples, high on outliers.

Shapes: N known and M outlier samples, K classes, * any trailing shape.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmood.ops import rank_mean
from mmood.registry import MODELS
from mmood.scores import energy, joint_energy

from .batch import Batch, OODLoss


def uncertainty_loss(
    known_logits: Tensor, outlier_logits: Tensor, kind: str = 'softmax'
) -> Tensor:
    """``mean softplus(E(u)) + mean softplus(-E(v))``, a scalar >= 0, nats.

    u are known, v outlier logits, (N, K, *) and (M, K, *), without the
    background's. ``-log(exp(-E) / (1 + exp(-E))) = softplus(E)``.
    An empty side adds 0. Means are over all ranks, a collective call.
    E is the free energy, of logits of the ``kind`` 'sigmoid' the joint one.
    Source: DFDD (ICCV 2023), Eq. 8, for a softmax.
    """
    of = joint_energy if kind == 'sigmoid' else energy
    known = F.softplus(of(known_logits))
    outlier = F.softplus(-of(outlier_logits))
    return rank_mean(known) + rank_mean(outlier)


@MODELS.register_module()
class UncertaintyLoss(OODLoss):
    """``loss_weight`` times `uncertainty_loss`; the weight is DFDD's tau."""

    needs_outliers = True

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        known, outlier = batch.contrast()
        loss = uncertainty_loss(known.logits, outlier.logits, batch.kind)
        return dict(loss_uncertainty=self.loss_weight * loss)
