"""A Gaussian mixture for each class that follows the pixels, and its score.

Paper: Liang et al., "GMMSeg: Gaussian Mixture based Generative Semantic
Segmentation Models", NeurIPS 2022.

Shapes: B images, D channels, h x w cells, K classes of M components each, N
labelled cells.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_rank
from torch import Tensor, nn

from mmood.ops import (
    ClassQueues,
    evenly_spread,
    gather_rows,
    log_gaussians,
    moments_of_directions,
    rank_mean,
    sinkhorn_assignment,
)
from mmood.ops.class_queues import class_counts
from mmood.scores import Samples, register_score
from mmood.scores.samples import KINDS


class _Cells(NamedTuple):
    """Labelled cells of this rank."""

    x: Tensor  # (N, D)
    labels: Tensor  # (N,)
    assigned: Tensor  # (N,), a component of the class
    density: Tensor  # (N,), log density of that component
    correct: Tensor  # (N,) bool


class GaussianMixtures(nn.Module):
    """K mixtures of M Gaussians with unit means, learned by EM, not gradient.

    In each training step Sinkhorn's optimal transport gives each labelled
    cell a component of its class (the E step); correctly classified ones
    enter the component's queue, at most ``max_enqueued`` of all ranks. Every
    ``interval`` steps, from the first one on, the classes that were seen in
    the step are fitted to their queues in float64 (the M step). A class
    without a cell keeps its initial Gaussians: random means, and the
    deviations of uniform directions.

    Buffers, the same on all ranks: ``means`` and ``deviations`` (K, M, D),
    ``iteration``, and the queues, which grow as they fill to K M
    ``queue_size`` D float16: 389 MB for 19 classes at the defaults.

    Args:
        num_classes: K.
        channels: D.
        num_components: M.
        queue_size: of each component.
        max_enqueued: per step and component.
        interval: training steps from one M step to the next.
        momentum: of means and deviations: what stays of the old ones.
        contrast_weight: of the loss.

    Raises ValueError for sizes below 1 and a momentum outside of [0, 1].
    """

    means: Tensor
    deviations: Tensor
    iteration: Tensor
    exact_buffers = ('means', 'deviations', 'iteration')

    def __init__(
        self,
        num_classes: int,
        channels: int = 64,
        *,
        num_components: int = 5,
        queue_size: int = 32000,
        max_enqueued: int = 20,
        interval: int = 5,
        momentum: tuple[float, float] = (0.999, 0.0),
        contrast_weight: float = 0.01,
    ) -> None:
        super().__init__()
        _check(num_components, max_enqueued, interval, momentum)
        self.max_enqueued, self.interval = max_enqueued, interval
        self.kept, self.contrast_weight = momentum, contrast_weight
        shape = num_classes, num_components, channels
        self.queues = ClassQueues(
            num_classes * num_components,
            channels,
            queue_size,
            grows=True,
            dtype=torch.float16,
        )
        self.register_buffer('means', F.normalize(torch.randn(shape), dim=-1))
        _, spread = moments_of_directions(torch.empty(0, channels), queue_size)
        deviations = spread.float().repeat(*shape[:2], 1)
        self.register_buffer('deviations', deviations)
        self.register_buffer('iteration', torch.tensor(0))

    @property
    def seen(self) -> Tensor:
        """Which components were ever given a cell, (K, M) bool."""
        return self.queues.seen.view(self.means.shape[:2]) > 0

    def forward(self, x: Tensor) -> Tensor:
        """Log densities of unit vectors (N, D, *), (N, K, M, *), nats."""
        return log_gaussians(x, self.means, self.deviations)

    def learn(
        self, x: Tensor, densities: Tensor, labels: Tensor, predicted: Tensor
    ) -> Tensor:
        """The contrastive loss, a scalar; in training mode also a step of EM.

        ``x`` (B, D, h, w) and its log densities (B, K, M, h, w), ``labels``
        and ``predicted`` classes (B, h, w); a label that is no class is left
        out. The loss is the weighted cross-entropy over all K M densities to
        the cell's own component, a mean over the cells of all ranks. A
        collective call.
        """
        classes, components = densities.shape[1:3]
        valid = (labels >= 0) & (labels < classes)
        own, said = labels[valid], predicted[valid]
        found = densities.movedim((1, 2), (-2, -1))[valid]  # (N, K, M)
        of_class = found[torch.arange(len(own), device=own.device), own]
        assigned = sinkhorn_assignment(of_class.detach(), own, classes)
        values = F.cross_entropy(
            found.flatten(1), own * components + assigned, reduction='none'
        )
        if self.training:
            density = of_class.detach().gather(1, assigned[:, None])[:, 0]
            vectors = x.detach().movedim(1, -1)[valid]
            cells = _Cells(vectors, own, assigned, density, own == said)
            self._step(cells)
        return self.contrast_weight * rank_mean(values)

    @torch.no_grad()
    def _step(self, cells: _Cells) -> None:
        counts = class_counts(cells.labels, len(self.means))
        all_reduce(counts)
        self._enqueue(cells)
        if self.iteration % self.interval == 0:
            for k in counts.nonzero()[:, 0].tolist():
                self._fit(k)
        self.iteration += 1

    def _enqueue(self, cells: _Cells) -> None:
        """Correct cells of all ranks, evenly spread over their densities."""
        place = cells.labels * self.means.shape[1] + cells.assigned
        own = torch.full_like(place, get_rank())
        facts = torch.stack([place, own, torch.arange(len(place)).to(own)], 1)
        facts = gather_rows(facts[cells.correct])
        density = gather_rows(cells.density[cells.correct].double())
        chosen = facts[evenly_spread(density, facts[:, 0], self.max_enqueued)]
        mine = chosen[:, 1] == get_rank()
        sent = cells.x.new_zeros(len(chosen), cells.x.shape[1])
        sent[mine] = cells.x[chosen[mine, 2]]
        all_reduce(sent)
        self.queues.append(sent, chosen[:, 0])

    def _fit(self, k: int) -> None:
        """The M step of a class; a component without samples stays."""
        keep_mean, keep_spread = self.kept
        components = self.means.shape[1]
        for m in range(components):
            row = k * components + m
            count = int(self.queues.counts[row])
            if not count:
                continue
            mean, spread = moments_of_directions(
                self.queues.memory[row, :count], self.queues.size
            )
            mean = mean.lerp(self.means[k, m].double(), keep_mean)
            spread = spread.lerp(self.deviations[k, m].double(), keep_spread)
            self.means[k, m] = F.normalize(mean, dim=0)
            self.deviations[k, m] = spread


def _check(
    num_components: int,
    max_enqueued: int,
    interval: int,
    momentum: tuple[float, float],
) -> None:
    sizes = dict(
        num_components=num_components,
        max_enqueued=max_enqueued,
        interval=interval,
    )
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f'{name} must be at least 1, got {value}')
    if len(momentum) != 2 or not all(0 <= m <= 1 for m in momentum):
        raise ValueError(
            'momentum must be two numbers in [0, 1], of the means and of the '
            f'deviations, got {momentum}'
        )


@register_score('gmmseg', reads=('features',), kinds=KINDS)
class MixtureScore(nn.Module):
    """``-max_{k, m} log N(e; mu_km, sigma_km)``, (N, D, *) -> (N, *), nats.

    By the `GaussianMixtures` of a ``mmood.GMMSegHead``, of whose unit
    embeddings e the features are. Components that never got a cell do not
    count, nor do classes without one, of which a warning tells; RuntimeError
    if that is all of them. Source: GMMSeg, on anomaly segmentation.
    """

    def __init__(self, losses: Iterable[nn.Module]) -> None:
        super().__init__()
        found = [one for one in losses if isinstance(one, GaussianMixtures)]
        if not found:
            raise ValueError(
                "the score 'gmmseg' reads the densities of a "
                'mmood.GMMSegHead: set model.decode_head to '
                "dict(type='mmood.GMMSegHead', of=TYPE_OF_THE_HEAD, ...)"
            )
        # In a tuple: it is saved with the head.
        self._mixtures = (found[0],)

    def forward(self, samples: Samples) -> Tensor:
        (mixtures,) = self._mixtures
        seen = mixtures.seen
        _check_seen(seen)
        densities = mixtures(samples.features).movedim((1, 2), (-2, -1))
        densities = densities.masked_fill(~seen, -torch.inf)
        return -densities.flatten(-2).amax(-1)


def _check_seen(seen: Tensor) -> None:
    """Of components (K, M)."""
    missing = (~seen.any(1)).nonzero()[:, 0].tolist()
    if len(missing) == len(seen):
        raise RuntimeError(
            'the score gmmseg has no mixtures: train the mmood.GMMSegHead or '
            'load a checkpoint of such a training'
        )
    if missing:
        warnings.warn(
            f'the score gmmseg leaves out the classes {missing}, which had '
            'no correctly classified pixel in training: train longer, or '
            'check that the training labels have them',
            stacklevel=3,
        )
