"""Agreement of two predictions for the same samples.

Shapes: N samples, K classes, * any trailing shape.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmood.ops import rank_mean
from mmood.registry import MODELS

from .batch import Batch, OODLoss


def kl_consistency(logits: Tensor, other_logits: Tensor) -> Tensor:
    """Mean ``KL[softmax(logits) || softmax(other)]``, a scalar >= 0, nats.

    (N, K, *) twice; summed over classes, averaged over the rest, of all
    ranks: a collective call. 0 for no samples. Gradients flow into both
    sides. Source: DFDD (ICCV 2023), Eq. 7. Raises ValueError if shapes
    differ.
    """
    if logits.shape != other_logits.shape:
        raise ValueError(
            'both predictions must have one shape, got '
            f'{tuple(logits.shape)} and {tuple(other_logits.shape)}'
        )
    log_p, log_q = logits.log_softmax(1), other_logits.log_softmax(1)
    divergences = F.kl_div(log_q, log_p, reduction='none', log_target=True)
    return rank_mean(divergences.sum(1))


@MODELS.register_module()
class ConsistencyLoss(OODLoss):
    """``loss_weight`` times `kl_consistency`; the weight is DFDD's beta.

    Of the known rows on the maps for the heads and on the ``deblurred``
    ones, with all columns of the classifier.
    """

    reads = ('classify', 'look')
    kinds = ('softmax',)
    maps = ('deblurred',)

    def __init__(self, loss_weight: float = 0.001) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        deblurred = batch.classify(batch.look('deblurred').features)
        loss = kl_consistency(batch.logits[batch.known_rows], deblurred)
        return dict(loss_consistency=self.loss_weight * loss)
