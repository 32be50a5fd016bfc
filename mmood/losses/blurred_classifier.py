"""DFDD without energies: a classifier of known and blurred features.

Shapes: N known and M outlier samples, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.registry import MODELS

from .logistic import joint_factor


@MODELS.register_module()
class BlurredClassifierLoss(nn.Module):
    """``loss_weight`` times the cross entropy of known (1), blurred (0).

    A ``Linear(C, 1)`` of the box features gives the log-odds of being
    known. A scalar >= 0, in nats, mean over all samples; computed in float32
    also under autocast. It takes the place of the uncertainty loss where
    DFDD is plugged into open-set and incremental detectors. Source: DFDD,
    ICCV 2023, Sec. 6.1, which gives no weight.
    """

    source = 'features'

    def __init__(self, in_channels: int, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.classifier = nn.Linear(in_channels, 1)

    def log_odds(self, features: Tensor) -> Tensor:
        """Log-odds of being unknown, (N, C) -> (N,), nats."""
        with torch.autocast(features.device.type, enabled=False):
            return -self.classifier(features.float()).squeeze(1)

    def forward(
        self,
        known: Tensor,
        outlier: Tensor,
        known_factor: float | Tensor | None = None,
        outlier_factor: float | Tensor | None = None,
    ) -> Tensor:
        """Features (N, C) and (M, C) -> scalar; an empty side adds 0.

        See `LogisticUncertaintyLoss` for the factors.
        """
        total = F.softplus(self.log_odds(known)).sum()
        total = total + F.softplus(-self.log_odds(outlier)).sum()
        factor = joint_factor(known, outlier, known_factor, outlier_factor)
        return self.loss_weight * total / factor
