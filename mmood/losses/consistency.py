"""Agreement of two predictions for the same samples.

Shapes: N samples, K classes, * any trailing shape.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import or_one
from mmood.registry import MODELS


def kl_consistency(
    logits: Tensor, other_logits: Tensor, avg_factor: float | None = None
) -> Tensor:
    """Mean ``KL[softmax(logits) || softmax(other)]``, a scalar >= 0, nats.

    (N, K, *) twice; summed over classes, averaged over the rest or divided
    by ``avg_factor``. 0 for no samples. Gradients flow into both sides.
    Source: DFDD (ICCV 2023), Eq. 7. Raises ValueError if shapes differ.
    """
    if logits.shape != other_logits.shape:
        raise ValueError(
            'both predictions must have one shape, got '
            f'{tuple(logits.shape)} and {tuple(other_logits.shape)}'
        )
    log_p, log_q = logits.log_softmax(1), other_logits.log_softmax(1)
    total = F.kl_div(log_q, log_p, reduction='sum', log_target=True)
    count = logits.numel() / max(logits.shape[1], 1)
    return total / or_one(count if avg_factor is None else avg_factor)


@MODELS.register_module()
class ConsistencyLoss(nn.Module):
    """``loss_weight`` times `kl_consistency`; the weight is DFDD's beta."""

    def __init__(self, loss_weight: float = 0.001) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: Tensor,
        other_logits: Tensor,
        avg_factor: float | None = None,
    ) -> Tensor:
        return self.loss_weight * kl_consistency(
            logits, other_logits, avg_factor
        )
