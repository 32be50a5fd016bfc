"""ORE's contrastive clustering of box features around class prototypes.

Shapes: R rows, K known classes, class K unknown, C feature channels.
Source: Joseph et al., "Towards Open World Object Detection", CVPR 2021,
Sec. 4.1 and Algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmood.ops import Activity, ClassQueues, raised, rank_mean
from mmood.registry import MODELS

from .batch import OUTLIER, Batch, OODLoss


def clustering_loss(
    features: Tensor, labels: Tensor, prototypes: Tensor, margin: float = 10.0
) -> Tensor:
    """``d`` to the own prototype, ``max(0, margin - d)`` to each other one.

    (R, C), (R,) and P prototypes (P, C) -> (R, P), >= 0, in the features'
    unit; d is the Euclidean distance. Half precision is raised to float32.
    Source: ORE (CVPR 2021), Eq. 1.
    """
    with torch.autocast(features.device.type, enabled=False):
        distances = torch.cdist(
            raised(features),
            prototypes.to(raised(features)),
            compute_mode='donot_use_mm_for_euclid_dist',
        )
    classes = torch.arange(len(prototypes), device=labels.device)
    is_own = labels[:, None] == classes
    return torch.where(is_own, distances, (margin - distances).clamp(min=0))


@MODELS.register_module()
class ContrastiveClustering(OODLoss):
    """``loss_clustering``: `clustering_loss` of objects and prototypes.

    The mean over pairs of a row, on a known object or labelled `OUTLIER`
    (the class K), and a prototype, times ``loss_weight``. Prototypes are the
    means of the newest ``size`` features of each class, of all ranks, from
    iteration ``start`` on; every ``interval`` iterations they follow by
    ``p <- momentum p + (1 - momentum) mean``. Without any the loss is 0.
    All lies in the checkpoint: a training that starts from one goes on with
    its prototypes, and the classes that come get theirs at its ``start``.
    In float32 also under autocast.

    The public code gives its margin, 10, to the distance as the norm's order,
    and has a margin of 2; here they are as the paper says. It also pushes
    features from the origin for each class that is still to come.

    Raises ValueError for a ``momentum`` outside of [0, 1) and for an
    ``interval`` below 1.
    """

    prototypes: Tensor
    made: Tensor
    exact_buffers = ('prototypes', 'made')

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1024,
        *,
        size: int = 20,
        margin: float = 10.0,
        start: int = 1000,
        interval: int = 3000,
        momentum: float = 0.99,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f'momentum must be in [0, 1), got {momentum}')
        if interval < 1:
            raise ValueError(f'interval must be at least 1, got {interval}')
        self.margin, self.start = margin, start
        self.interval, self.momentum = interval, momentum
        self.loss_weight = loss_weight
        self.queues = ClassQueues(num_classes + 1, in_channels, size)
        shape = num_classes + 1, in_channels
        self.register_buffer('prototypes', torch.zeros(shape))
        self.register_buffer('made', torch.zeros(shape[0], dtype=torch.long))
        self.activity = Activity(
            'ContrastiveClustering: train longer than until its start='
            f'{start}, or set a lower one'
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch; a collective call, also without a row."""
        labels = torch.where(
            batch.labels == OUTLIER, batch.num_classes, batch.labels
        )
        if self.training:
            rows = batch.object_rows
            self.queues.add(batch.features[rows].detach(), labels[rows])
            since = batch.iteration - self.start
            if since >= 0 and since % self.interval == 0:
                self._move()
        pairs = (labels >= 0)[:, None] & self.made.bool()
        values = clustering_loss(
            batch.features, labels, self.prototypes, self.margin
        )
        self.activity.add(pairs.sum())
        return {'loss_clustering': self.loss_weight * rank_mean(values, pairs)}

    @torch.no_grad()
    def _move(self) -> None:
        """Have the prototypes follow the queues; make those that lack."""
        counts, means = self.queues.counts, self.queues.means
        share = torch.where(self.made > 0, self.momentum, 0.0)[:, None]
        moved = share * self.prototypes + (1 - share) * means
        has_any = counts > 0
        moved = torch.where(has_any[:, None], moved, self.prototypes)
        self.prototypes.copy_(moved)
        self.made.copy_(self.made | has_any.long())
