"""VOS' uncertainty loss: a logistic regression on a weighted energy.

Shapes: N known and M outlier samples, K classes, * any trailing shape.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import or_one
from mmood.registry import MODELS


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
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    largest = logits.detach().amax(1, keepdim=True)
    weight = weight.relu().view(-1, *[1] * (logits.dim() - 2))
    total = (weight * (logits - largest).exp()).sum(1)
    floor = torch.finfo(total.dtype).tiny
    return largest.squeeze(1) + total.clamp(min=floor).log()


def joint_factor(
    known: Tensor,
    outlier: Tensor,
    known_factor: float | Tensor | None,
    outlier_factor: float | Tensor | None,
) -> float:
    """What to divide the summed loss of known (N,) and outliers (M,) by.

    The sum of both factors, each by default its own count; 1 for none.
    """
    known_factor = len(known) if known_factor is None else known_factor
    if outlier_factor is None:
        outlier_factor = len(outlier)
    return or_one(known_factor + outlier_factor)


@MODELS.register_module()
class LogisticUncertaintyLoss(nn.Module):
    """``loss_weight`` times the cross entropy of known against outlier.

    A ``Linear(1, 2)`` of the `weighted_energy` says outlier (0) or known
    (1). Class weights, uniform in [0, 1) at first, and the layer learn
    along. A scalar >= 0, in nats; computed in float32 also under autocast.
    Source: VOS (ICLR 2022), Sec. 3.2, whose weight is 0.1.
    """

    def __init__(self, num_classes: int, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.class_weight = nn.Parameter(torch.rand(num_classes))
        self.logistic = nn.Linear(1, 2)

    def forward(
        self,
        known_logits: Tensor,
        outlier_logits: Tensor,
        known_factor: float | Tensor | None = None,
        outlier_factor: float | Tensor | None = None,
    ) -> Tensor:
        """(N, K, *) and (M, K, *), without the background's -> scalar.

        The sum over all is divided by the `joint_factor`; give the mean
        counts over all ranks so that n processes equal one. An empty side
        adds 0.
        """
        with torch.autocast(known_logits.device.type, enabled=False):
            known, outlier = (
                weighted_energy(logits.float(), self.class_weight).flatten()
                for logits in (known_logits, outlier_logits)
            )
            scores = self.logistic(torch.cat([known, outlier])[:, None])
            target = torch.zeros(len(scores)).to(scores).long()
            target[: len(known)] = 1
            total = F.cross_entropy(scores, target, reduction='sum')
        factor = joint_factor(known, outlier, known_factor, outlier_factor)
        return self.loss_weight * total / factor
