"""OW-DETR's foreground objectness: what is an object, of whatever class.

Shapes: L decoder layers, n queries of all images, C channels of a query.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmood.ops import raised, rank_count
from mmood.registry import MODELS

from .batch import IGNORE, OUTLIER, Batch, OODLoss
from .energy_ood import binary_focal_loss

_PRIOR = 0.01  # of being an object, at the start


@MODELS.register_module()
class ObjectnessLoss(OODLoss):
    """``loss_objectness``: focal loss of objects against the background.

    A linear layer of the query gives the log-odds of an object, one of a
    known class or taken for unknown (`OUTLIER`). Summed over the decoder
    layers and all queries but those to be ignored, by the mean number of
    known objects that the ranks have in a step, at least 1; times
    ``loss_weight``. In nats, in float32 also under autocast.

    The branch makes queries of objects differ from others. Nothing reads it
    at test, as in the public code. Source: Gupta et al., "OW-DETR: Open-world
    Detection Transformer", CVPR 2022, Sec. 3.4 and Eq. 3 (weight 0.1).

    Args:
        in_channels: C.
        num_layers: of decoder layers that have a branch of their own, as
            their classifiers are; 1: all share one.
    """

    reads = ('layers',)

    def __init__(
        self,
        in_channels: int,
        num_layers: int = 1,
        *,
        loss_weight: float = 0.1,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ) -> None:
        super().__init__()
        self.loss_weight, self.alpha, self.gamma = loss_weight, alpha, gamma
        branches = [nn.Linear(in_channels, 1) for _ in range(num_layers)]
        for branch in branches:
            nn.init.constant_(branch.bias, math.log(_PRIOR / (1 - _PRIOR)))
        self.branches = nn.ModuleList(branches)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        layers = batch.layers()
        labels = torch.stack([labels for _, labels in layers])  # (L, n)
        last = len(self.branches) - 1
        log_odds = torch.stack(
            [
                self._log_odds(self.branches[min(i, last)], features)
                for i, (features, _) in enumerate(layers)
            ]
        )
        is_object = (labels >= 0) | (labels == OUTLIER)
        values = binary_focal_loss(log_odds, is_object, self.alpha, self.gamma)
        values = torch.where(labels == IGNORE, 0, values)
        # Every layer has a query for each of them.
        known = rank_count((labels[-1] >= 0).sum())
        loss = values.sum() / known.clamp(min=1)
        return dict(loss_objectness=self.loss_weight * loss)

    @staticmethod
    def _log_odds(branch: nn.Module, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return branch(raised(features))[:, 0]
