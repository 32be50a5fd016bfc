"""VOS' uncertainty loss: a logistic regression on a weighted energy.

Shapes: N known and M outlier samples, K classes, * any trailing shape.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import raised, rank_mean
from mmood.registry import MODELS

from .batch import Batch, OODLoss


def weighted_energy(logits: Tensor, weight: Tensor) -> Tensor:
    """``m + log sum_k relu(w_k) exp(f_k - m)``, m = max_k f_k, unbounded.

    (N, K, *) and (K,) -> (N, *). Higher is more in-distribution: for w = 1
    it is ``-energy(logits)``. The sum counts at least the smallest normal
    number, so that the result is finite where no class has weight.
    Half precision is raised to float32. Source: VOS (ICLR 2022), Sec. 3.2.
    Raises ValueError if there is not one weight per class, or no class.
    """
    if weight.shape != logits.shape[1:2] or weight.numel() == 0:
        raise ValueError(
            f'logits of shape {tuple(logits.shape)} need one weight per class '
            f'in dimension 1, got weights of shape {tuple(weight.shape)}'
        )
    logits = raised(logits)
    largest = logits.detach().amax(1, keepdim=True)
    weight = weight.relu().view(-1, *[1] * (logits.dim() - 2))
    total = (weight * (logits - largest).exp()).sum(1)
    floor = torch.finfo(total.dtype).tiny
    return largest.squeeze(1) + total.clamp(min=floor).log()


@MODELS.register_module()
class LogisticUncertaintyLoss(OODLoss):
    """``loss_weight`` times the cross entropy of known against outlier.

    A ``Linear(1, 2)`` of the `weighted_energy` says outlier (0) or known
    (1). Class weights, uniform in [0, 1) at first, and the layer learn
    along. A scalar >= 0, in nats, the mean over known rows and outliers of
    all ranks; computed in float32 also under autocast.
    Source: VOS (ICLR 2022), Sec. 3.2, whose weight is 0.1.
    """

    needs_outliers = True

    def __init__(self, num_classes: int, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.class_weight = nn.Parameter(torch.rand(num_classes))
        self.logistic = nn.Linear(1, 2)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        sides = [side.logits for side in batch.contrast()]
        with torch.autocast(sides[0].device.type, enabled=False):
            known, outlier = (
                weighted_energy(logits.float(), self.class_weight).flatten()
                for logits in sides
            )
            scores = self.logistic(torch.cat([known, outlier])[:, None])
            target = torch.zeros_like(scores[:, 0], dtype=torch.long)
            target[: len(known)] = 1
            values = F.cross_entropy(scores, target, reduction='none')
        return dict(loss_uncertainty=self.loss_weight * rank_mean(values))
