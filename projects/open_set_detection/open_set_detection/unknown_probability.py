"""OpenDet's loss of the probability of unknown, on hard RoIs.

Shapes: R RoIs, K known classes, columns: K known, unknown, background.
Source: Han et al., "Expanding Low-Density Latent Regions for Open-Set
Object Detection", CVPR 2022, Sec. 3.3.
"""

from __future__ import annotations

import torch
from mmengine.dist import get_rank
from torch import Tensor

from mmood.losses import Batch, OpenSetLoss, columns_of
from mmood.ops import Activity, gather_rows, raised, rank_mean
from mmood.registry import MODELS


def placeholder_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """``-log softmax(logits without the true column)_unknown``, >= 0, nats.

    (R, K + 2) and (R,) -> (R,), in float32 or better: what the RoI would be
    if it were not what it is. Labels are columns, of known classes or the
    background; for the unknown one it is inf. Raises ValueError for logits
    without a known class.
    """
    if logits.dim() != 2 or logits.shape[1] < 3:
        raise ValueError(
            'logits must be (R, K + 2), of at least one known class, unknown '
            f'and the background, got {tuple(logits.shape)}'
        )
    rest = raised(logits).scatter(1, labels[:, None], float('-inf'))
    return -rest.log_softmax(1)[:, -2]


def unknown_probability_loss(
    logits: Tensor, labels: Tensor, alpha: float = 1.0
) -> Tensor:
    """``g (1 - g)^alpha`` times the `placeholder_cross_entropy`, >= 0, nats.

    (R, K + 2) and (R,) -> (R,). g is the probability of the true class, a
    constant for the gradient: RoIs that are hard, but not hopeless, count
    most. Source: OpenDet (CVPR 2022), Sec. 3.3.
    """
    values = placeholder_cross_entropy(logits, labels)
    g = logits.detach().to(values.dtype).softmax(1)
    g = g.gather(1, labels[:, None])[:, 0]
    return g * (1 - g) ** alpha * values


@MODELS.register_module()
class UnknownProbabilityLoss(OpenSetLoss):
    """``loss_unknown``: `unknown_probability_loss` of the hardest RoIs.

    ``loss_weight`` times the mean over the ``top_k`` RoIs on known objects
    and the ``top_k`` on background whose largest logit, without the unknown
    one, is lowest; after iteration ``start``, counted from 0, as published
    (100: the first is number 101). Chosen among all ranks' RoIs, so that n
    processes equal one: the publication chooses on each GPU, which has two
    images. Known and background are chosen apart; there
    background counts no more RoIs than known.
    """

    def __init__(
        self,
        top_k: int = 3,
        alpha: float = 1.0,
        *,
        start: int = 100,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if top_k < 1:
            raise ValueError(f'top_k must be at least 1, got {top_k}')
        if not alpha >= 0:
            raise ValueError(f'alpha must be at least 0, got {alpha}')
        self.top_k, self.alpha, self.start = top_k, alpha, start
        self.loss_weight = loss_weight
        self.activity = Activity(
            'UnknownProbabilityLoss: train longer than until its start='
            f'{start}, or set a lower one'
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch; a collective call, also without a RoI."""
        labels = columns_of(batch)
        chosen = labels[:0]
        if batch.iteration > self.start:
            chosen = hardest(batch, self.top_k)
        values = unknown_probability_loss(
            batch.logits[chosen], labels[chosen], self.alpha
        )
        self.activity.add(len(chosen))
        return {'loss_unknown': self.loss_weight * rank_mean(values)}


@torch.no_grad()
def hardest(batch: Batch, top_k: int) -> Tensor:
    """Places (n,) of this rank's chosen RoIs.

    The ``top_k`` known and the ``top_k`` background RoIs of all ranks with
    the lowest largest logit, the unknown one left out; equals by rank, then
    by place. A collective call.
    """
    unknown = batch.num_classes
    rest = torch.cat(
        [batch.logits[:, :unknown], batch.logits[:, unknown + 1 :]], 1
    )
    highest = rest.amax(1).float()
    rows = torch.stack(
        [
            highest,
            batch.is_known.float() + 2 * batch.is_background.float(),
            torch.full_like(highest, get_rank()),
            torch.arange(len(rest), device=rest.device).float(),
        ],
        1,
    )
    rows = gather_rows(rows)
    rows = rows[rows[:, 0].argsort(stable=True)]
    rows = torch.cat([rows[rows[:, 1] == kind][:top_k] for kind in (1, 2)])
    own = rows[rows[:, 2] == get_rank()]
    return own[:, 3].long()
