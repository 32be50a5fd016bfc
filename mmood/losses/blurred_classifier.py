"""DFDD without energies: a classifier of known and blurred features.

Shapes: N known and M outlier samples, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import rank_mean
from mmood.registry import MODELS

from .batch import Batch, OODLoss


@MODELS.register_module()
class BlurredClassifierLoss(OODLoss):
    """``loss_weight`` times the cross entropy of known (1), blurred (0).

    A ``Linear(C, 1)`` of the box features gives the log-odds of being
    known. A scalar >= 0, in nats, mean over known rows and outliers of all
    ranks; computed in float32 also under autocast. It takes the place of the
    uncertainty loss where DFDD is plugged into open-set and incremental
    detectors. Source: DFDD, ICCV 2023, Sec. 6.1, which gives no weight.
    """

    needs_outliers = True

    def __init__(self, in_channels: int, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.classifier = nn.Linear(in_channels, 1)

    def log_odds(self, features: Tensor) -> Tensor:
        """Log-odds of being unknown, (N, C) -> (N,), nats."""
        with torch.autocast(features.device.type, enabled=False):
            return -self.classifier(features.float()).squeeze(1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        known, outlier = (self.log_odds(x.features) for x in batch.contrast())
        values = F.softplus(torch.cat([known, -outlier]))
        return dict(loss_uncertainty=self.loss_weight * rank_mean(values))
