"""OpenDet's contrastive loss of box features.

Shapes: R RoIs of which N are queries, M keys, K known classes, C channels
of box features, D of embeddings, Q keys per class at most.
Source: Han et al., "Expanding Low-Density Latent Regions for Open-Set
Object Detection", CVPR 2022, Sec. 3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.losses.batch import Batch, OODLoss
from mmood.ops import (
    ClassQueues,
    by_class,
    gather_labelled,
    raised,
    rank_mean,
)
from mmood.registry import MODELS


def supervised_contrastive(
    queries: Tensor,
    labels: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    temperature: float = 0.1,
) -> Tensor:
    """``-mean_p log softmax(z . keys / T)_p`` over keys p of z's class.

    Queries z (N, D) with labels (N,), keys (M, D) with labels (M,) -> (N,),
    >= 0, in nats; the softmax is over all M keys. 0, with a gradient of 0,
    for a query whose class has no key. Half precision is raised to float32.
    Source: OpenDet (CVPR 2022), Sec. 3.2; Khosla et al., "Supervised
    Contrastive Learning", NeurIPS 2020, Eq. 2.
    Raises ValueError for a ``temperature`` that is not positive.
    """
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    with torch.autocast(queries.device.type, enabled=False):
        queries = raised(queries)
        logits = queries @ keys.to(queries).T / temperature
    same = labels[:, None] == key_labels
    total = (logits.log_softmax(1) * same).sum(1)
    return -total / same.sum(1).clamp(min=1)


@MODELS.register_module()
class InstanceContrastiveLoss(OODLoss):
    """``loss_contrastive``: `supervised_contrastive` against a memory.

    Embeddings are a two-layer perceptron's, of length 1. Queries are the
    known RoIs of an IoU above ``loss_iou``, their loss is a mean, times
    ``loss_weight (1 - progress)``. The keys are the newest ``queue_size`` of
    each class, in checkpoints, alike on all ranks. After the loss, known
    RoIs above ``enqueue_iou`` become keys; per class, of all ranks, the
    ``max_enqueued`` least similar ones to the mean of the class's keys.
    In float32 also under autocast. As published, except that a RoI is no
    key of its own loss: the publication enqueues first.

    Args:
        num_classes: K; the labels below it are the known ones.
        in_channels: C, also the width of the hidden layer.
        channels: D.
        queue_size: Q.
    """

    reads = ('ious',)

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1024,
        *,
        channels: int = 128,
        queue_size: int = 256,
        max_enqueued: int = 16,
        enqueue_iou: float = 0.7,
        loss_iou: float = 0.5,
        temperature: float = 0.1,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if max_enqueued < 1:
            raise ValueError(f'max_enqueued must be >= 1, got {max_enqueued}')
        self.num_classes, self.max_enqueued = num_classes, max_enqueued
        self.enqueue_iou, self.loss_iou = enqueue_iou, loss_iou
        self.temperature, self.loss_weight = temperature, loss_weight
        self.encoder = nn.Sequential(
            nn.Linear(in_channels, in_channels),
            nn.ReLU(),
            nn.Linear(in_channels, channels),
        )
        self.queues = ClassQueues(num_classes, channels, queue_size)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch; a collective call, also without a query.

        Raises ValueError, on all ranks, for embeddings that are not finite.
        """
        wanted = batch.ious > min(self.loss_iou, self.enqueue_iou)
        wanted &= batch.is_known
        labels, ious = batch.labels[wanted], batch.ious[wanted]
        z = self.embed(batch.features[wanted])
        query = ious > self.loss_iou
        values = supervised_contrastive(
            z[query], labels[query], *self.queues.samples(), self.temperature
        )
        key = ious > self.enqueue_iou
        self._enqueue(z[key], labels[key])
        weight = self.loss_weight * (1 - batch.progress)
        return {'loss_contrastive': weight * rank_mean(values)}

    def embed(self, features: Tensor) -> Tensor:
        """Box features (N, C) -> embeddings (N, D) of length 1."""
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(self.encoder(features.float()), dim=1)

    @torch.no_grad()
    def _enqueue(self, z: Tensor, labels: Tensor) -> None:
        """Keep the least similar of all ranks' embeddings as keys."""
        z, labels = gather_labelled(z, labels)
        similarity = (z * self.queues.means[labels]).sum(1)
        order = similarity.argsort(stable=True)
        z, labels = z[order], labels[order]
        order, number = by_class(labels, self.num_classes)
        order = order[number < self.max_enqueued]
        self.queues.append(z[order], labels[order])
