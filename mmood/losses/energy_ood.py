"""Dream-Box's OOD head: a line through the energy says known or outlier.

Shapes: N known and M outlier samples, K classes, * any trailing shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.registry import MODELS
from mmood.scores import energy

from .logistic import joint_factor


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
class EnergyOODLoss(nn.Module):
    """``loss_weight`` times the loss of a classifier on the energy.

    ``a E + b`` are the log-odds of being an outlier, E the free energy of
    the class logits; a and b learn along, from 1 and 0. Mean over all known
    samples and outliers, in nats; computed in float32 also under autocast.
    The log-odds are the score ``dreambox``: higher is more OOD, unbounded,
    ranked as the published ``sigmoid(a E + b)`` but without its ties near 1.
    Source: Dream-Box, CVPRW 2025 (public code: focal loss, weight 10).

    Args:
        kind: ``'focal'``, with ``alpha`` and ``gamma``, or ``'bce'``.
        background: whether background RoIs count as known, as published.

    Raises ValueError for another kind.
    """

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
        self.uses_background = background
        self.linear = nn.Linear(1, 1)
        nn.init.ones_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def log_odds(self, logits: Tensor) -> Tensor:
        """Log-odds of being an outlier, (N, K, *) -> (N, *), nats."""
        with torch.autocast(logits.device.type, enabled=False):
            return self.linear(energy(logits.float())[..., None])[..., 0]

    def scores(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The trained score by name, (n, K) -> (n,)."""
        return dict(dreambox=self.log_odds)

    def forward(
        self,
        known_logits: Tensor,
        outlier_logits: Tensor,
        known_factor: float | Tensor | None = None,
        outlier_factor: float | Tensor | None = None,
    ) -> Tensor:
        """(N, K, *) and (M, K, *), without the background's -> scalar.

        See `LogisticUncertaintyLoss` for the factors.
        """
        known = self.log_odds(known_logits).flatten()
        outlier = self.log_odds(outlier_logits).flatten()
        log_odds = torch.cat([known, outlier])
        is_outlier = torch.zeros_like(log_odds)
        is_outlier[len(known) :] = 1
        if self.kind == 'focal':
            loss = binary_focal_loss(
                log_odds, is_outlier, self.alpha, self.gamma
            )
        else:
            loss = F.binary_cross_entropy_with_logits(
                log_odds, is_outlier, reduction='none'
            )
        factor = joint_factor(known, outlier, known_factor, outlier_factor)
        return self.loss_weight * loss.sum() / factor
