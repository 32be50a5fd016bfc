"""Dream-Box's OOD head: a line through the energy says known or outlier.

Shapes: N known and M outlier samples, K classes, * any trailing shape.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import rank_mean
from mmood.registry import MODELS
from mmood.scores import Samples, energy, joint_energy, register_score

from .batch import Batch, OODLoss, find_loss


def binary_focal_loss(
    log_odds: Tensor,
    is_positive: Tensor,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    """``-a_t (1 - p_t)^gamma log p_t``, (N, *) -> (N, *), nats, >= 0.

    ``p_t`` is the probability given to the truth, sigmoid(log_odds) for
    positives; ``a_t`` is alpha for positives and 1 - alpha for others.
    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017,
    Eq. 5.
    """
    sign = 2 * is_positive.to(log_odds) - 1
    log_p = F.logsigmoid(sign * log_odds)
    balance = 0.5 + sign * (alpha - 0.5)
    return -balance * (1 - log_p.exp()) ** gamma * log_p


@MODELS.register_module()
class EnergyOODLoss(OODLoss):
    """``loss_weight`` times the loss of a classifier on the energy.

    ``a E + b`` are the log-odds of being an outlier, E the free energy of
    the class logits, of the kind ``'sigmoid'`` the joint one; a and b learn
    along, from 1 and 0. Mean over known samples and outliers of all ranks, in
    nats; computed in float32 also under autocast.
    Source: Dream-Box, CVPRW 2025 (public code: focal loss, weight 10).

    Args:
        kind: ``'focal'``, with ``alpha`` and ``gamma``, or ``'bce'``.
        background: whether background rows count as known, as published for
            a softmax. A sigmoid's have the largest energy of all, near 0, so
            there they would stand against what outliers teach.

    Raises ValueError for another kind.
    """

    needs_outliers = True

    def __init__(
        self,
        kind: str = 'focal',
        loss_weight: float = 10.0,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        background: bool = True,
    ) -> None:
        super().__init__()
        if kind not in ('focal', 'bce'):
            raise ValueError(f"kind must be 'focal' or 'bce', got {kind!r}")
        self.kind, self.loss_weight = kind, loss_weight
        self.alpha, self.gamma = alpha, gamma
        self.background = background
        self.linear = nn.Linear(1, 1)
        nn.init.ones_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def log_odds(self, logits: Tensor, kind: str = 'softmax') -> Tensor:
        """Log-odds of being an outlier, (N, K, *) -> (N, *), nats."""
        of = joint_energy if kind == 'sigmoid' else energy
        with torch.autocast(logits.device.type, enabled=False):
            return self.linear(of(logits.float())[..., None])[..., 0]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        known, outlier = (
            self.log_odds(side.logits, batch.kind).flatten()
            for side in batch.contrast(self.background)
        )
        log_odds = torch.cat([known, outlier])
        is_outlier = torch.zeros_like(log_odds)
        is_outlier[len(known) :] = 1
        if self.kind == 'focal':
            values = binary_focal_loss(
                log_odds, is_outlier, self.alpha, self.gamma
            )
        else:
            values = F.binary_cross_entropy_with_logits(
                log_odds, is_outlier, reduction='none'
            )
        return dict(loss_uncertainty=self.loss_weight * rank_mean(values))


@register_score('dreambox')
class DreamBoxScore(nn.Module):
    """The log-odds that an `EnergyOODLoss` learned, (N, K, *) -> (N, *).

    Unbounded, in nats; ranked as the published ``sigmoid(a E + b)`` but
    without its ties near 1.
    """

    def __init__(self, losses: Iterable[nn.Module]) -> None:
        super().__init__()
        # In a tuple: it is saved with the losses.
        self._loss = (find_loss(losses, EnergyOODLoss, 'dreambox'),)

    def forward(self, samples: Samples) -> Tensor:
        return self._loss[0].log_odds(samples.logits, samples.kind)
