"""SIREN's loss: each class a von Mises-Fisher density on the unit sphere.

Paper: Du et al., "SIREN: Shaping Representations for Detecting
Out-of-Distribution Objects", NeurIPS 2022, and its public code.

Shapes: N objects of C features and D embedding channels, K classes.
"""

from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmood.ops import or_one
from mmood.registry import MODELS
from mmood.scores.vmf import log_vmf_density, vmf_score


@MODELS.register_module()
class SIRENLoss(nn.Module):
    """``-log [p_y(z) / sum_c p_c(z)]``, mean over the objects, >= 0, nats.

    ``p_c(z)`` is the density `mmood.scores.vmf.log_vmf_density` of the unit
    embedding z, which a two-layer network makes of the features. All in
    float32, under autocast too.

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

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        factor: float | Tensor | None = None,
        **context: object,
    ) -> dict[str, Tensor]:
        """``loss_weight * sum / factor`` of objects (N, C), classes (N,).

        ``factor`` is the mean count over the ranks, by default N. In
        training a collective call: every rank makes it, even with N = 0.
        ``context``, what other losses ask for, is not used.
        """
        with torch.autocast(features.device.type, enabled=False):
            z = self.embed(features)
            if self.training:
                self._follow(z, labels)
            prototypes, kappa = self.prototypes.clone(), self.kappa.relu()
            logits = log_vmf_density(z, prototypes, kappa)
            total = F.cross_entropy(logits, labels, reduction='sum')
        factor = or_one(len(labels) if factor is None else factor)
        return dict(loss_vmf=self.loss_weight * total / factor)

    @torch.no_grad()
    def _follow(self, z: Tensor, labels: Tensor) -> None:
        """Move the prototypes towards the embeddings of all ranks."""
        members = F.one_hot(labels, len(self.prototypes)).to(z.dtype).T
        sums = torch.cat([members @ z, members.sum(1, keepdim=True)], 1)
        all_reduce(sums)
        count = sums[:, -1:]
        mean = sums[:, :-1] / count.clamp(min=1)
        keep = self.momentum**count
        moved = keep * self.prototypes + (1 - keep) * mean
        self.prototypes.copy_(F.normalize(moved))

    def scores(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The parametric score of embeddings, ``vmf``."""
        return dict(vmf=VMFScore(self))


class VMFScore:
    """`mmood.scores.vmf.vmf_score` with the densities that a loss learned.

    (N, D, *) -> (N, *), by the prototypes and kappa at the time of the call.
    Classes never seen do not count; RuntimeError if that is all of them.
    """

    source = 'embedding'

    def __init__(self, loss: SIRENLoss) -> None:
        self.loss = loss

    def __call__(self, z: Tensor) -> Tensor:
        seen = self.loss.prototypes.any(1)
        if not seen.any():
            raise RuntimeError(
                'the score vmf has no class prototypes: train with '
                'mmood.SIRENLoss or load a checkpoint of such a training'
            )
        prototypes = self.loss.prototypes[seen]
        return vmf_score(z, prototypes, self.loss.kappa[seen].relu())
