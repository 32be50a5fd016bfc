"""SIREN's loss: each class a von Mises-Fisher density on the unit sphere.

Paper: Du et al., "SIREN: Shaping Representations for Detecting
Out-of-Distribution Objects", NeurIPS 2022, and its public code.

Shapes: N objects of C features and D embedding channels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmood.ops import rank_mean
from mmood.registry import MODELS
from mmood.scores import (
    KNN,
    NotFittedError,
    Samples,
    log_vmf_density,
    register_score,
)
from mmood.scores.samples import KINDS

from .batch import Batch, OODLoss, find_loss


@MODELS.register_module()
class SIRENLoss(OODLoss):
    """``-log [p_y(z) / sum_c p_c(z)]`` of the known rows, >= 0, nats.

    The mean over all ranks. ``p_c(z)`` is the density `log_vmf_density` of
    the unit embedding z, which a two-layer network makes of the features.
    All in float32, under autocast too.

    Args:
        in_channels: C.
        num_classes: K, without background.
        channels: D. The paper has 64 for Faster R-CNN, 16 or 64 for DETR.
        momentum: m in [0, 1), the share of the old prototype per object.
        init_kappa: concentration of all classes at the start. ``kappa`` (K,)
            is learned; below 0 it counts as 0, the uniform density.
        loss_weight: the paper's is 0.1 for Faster R-CNN, 1.5 for DETR.

    The buffer ``prototypes`` (K, D), unit vectors, follows the objects, and
    is the same on all ranks: n objects of a class with mean embedding e make
    ``p <- normalize(m^n p + (1 - m^n) e)`` before the loss. The public code
    takes them one after the other, ``normalize(m p + (1 - m) z)``, on each
    rank its own: the same for one object, else the later count more. As
    there, p is 0 until the class is seen: it counts in the loss with
    p.z = 0, but not in the score. The public code also bounds the loss by
    adding 1e-6 to the probability.
    """

    prototypes: Tensor
    exact_buffers = ('prototypes',)

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        channels: int = 64,
        momentum: float = 0.95,
        init_kappa: float = 10.0,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f'momentum must be in [0, 1), got {momentum}')
        if not init_kappa > 0:
            raise ValueError(f'init_kappa must be positive, got {init_kappa}')
        self.channels = channels
        self.momentum = momentum
        self.loss_weight = loss_weight
        self.projection = nn.Sequential(
            nn.Linear(in_channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
        )
        self.kappa = nn.Parameter(torch.full((num_classes,), init_kappa))
        self.register_buffer('prototypes', torch.zeros(num_classes, channels))

    def embed(self, features: Tensor) -> Tensor:
        """Unit embeddings, (N, C) -> (N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            x = self.projection(features.to(self.kappa.dtype))
            return F.normalize(x)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        features, labels = batch.known.features, batch.known_labels
        with torch.autocast(features.device.type, enabled=False):
            z = self.embed(features)
            if self.training:
                self._follow(z, labels)
            prototypes, kappa = self.prototypes.clone(), self.kappa.relu()
            logits = log_vmf_density(z, prototypes, kappa)
            values = F.cross_entropy(logits, labels, reduction='none')
        return dict(loss_vmf=self.loss_weight * rank_mean(values))

    @torch.no_grad()
    def _follow(self, z: Tensor, labels: Tensor) -> None:
        """Move the prototypes towards the embeddings of all ranks."""
        classes = torch.arange(len(self.prototypes), device=labels.device)
        members = (classes[:, None] == labels).to(z.dtype)  # (K, N)
        sums = torch.cat([members @ z, members.sum(1, keepdim=True)], 1)
        all_reduce(sums)
        count = sums[:, -1:]
        mean = sums[:, :-1] / count.clamp(min=1)
        keep = self.momentum**count
        moved = keep * self.prototypes + (1 - keep) * mean
        self.prototypes.copy_(F.normalize(moved))


@register_score('vmf', reads=('features',), kinds=KINDS)
class VMFScore(nn.Module):
    """`mmood.scores.vmf_score` of the densities of a `SIRENLoss`, (N,).

    By the prototypes and kappa at the time of the call. Classes never seen
    do not count; NotFittedError if that is all of them.
    """

    def __init__(self, losses: Iterable[nn.Module]) -> None:
        super().__init__()
        # In a tuple: it is saved with the losses.
        self._loss = (find_loss(losses, SIRENLoss, 'vmf'),)

    def forward(self, samples: Samples) -> Tensor:
        (loss,) = self._loss
        seen = loss.prototypes.any(1)
        # A graph has no such question; it is asked before one is made.
        if not torch.compiler.is_compiling() and not seen.any():
            raise NotFittedError(
                'the score vmf has no class prototypes: train with '
                'mmood.SIRENLoss or load a checkpoint of such a training'
            )
        z, kappa = loss.embed(samples.features), loss.kappa.relu()
        logits = log_vmf_density(z, loss.prototypes, kappa)
        return -logits.masked_fill(~seen, -torch.inf).amax(1)


@register_score('siren_knn', reads=('features',), kinds=KINDS)
class SIRENKNN(KNN):
    """`KNN` of the embeddings that a `SIRENLoss` learned, (N,).

    The paper's score without parameters; arguments are those of `KNN`.
    """

    def __init__(
        self, losses: Iterable[nn.Module], k: int = 10, **options
    ) -> None:
        loss = find_loss(losses, SIRENLoss, 'siren_knn')
        super().__init__(loss.channels, k, **options)
        self._loss = (loss,)

    def vectors(self, samples: Samples) -> Tensor:
        return self._loss[0].embed(samples.features)
