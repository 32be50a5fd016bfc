"""ORE's energy-based unknown identifier.

Shapes: N boxes, K known classes, M values. Source: Joseph et al., "Towards
Open World Object Detection", CVPR 2021, Sec. 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from mmood.losses.batch import OUTLIER, Batch, find_loss
from mmood.ops import (
    Activity,
    ClassQueues,
    Weibull,
    fit_weibull,
    log_weibull_density,
)
from mmood.registry import MODELS
from mmood.scores import Samples, energy, register_score

from .open_set_loss import OpenSetLoss


@MODELS.register_module()
class EnergyWeibulls(OpenSetLoss):
    """Keeps the energies of known and unknown objects; no loss by itself.

    The energy is ``-logsumexp`` of the known classes' logits. Kept are the
    last ``size`` of RoIs on known objects and of those that a
    `PseudoUnknownBBoxHead` took for unknown ones, of all ranks. `ORE` scores
    boxes by densities of them.
    """

    def __init__(self, size: int = 1000) -> None:
        super().__init__()
        self.queues = ClassQueues(num_classes=2, channels=1, size=size)
        self.activity = Activity(
            'the unknown objects of EnergyWeibulls: train with an '
            'mmood.PseudoUnknownBBoxHead, longer than until its start'
        )
        self._fit: tuple[Tensor, tuple[Weibull, Weibull]] | None = None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Keep the energies of a step, no loss; a collective call."""
        is_unknown = batch.labels == OUTLIER
        kept = is_unknown | batch.is_known
        self.activity.add(is_unknown.sum())
        energies = energy(batch.logits[kept, : batch.num_classes].detach())
        self.queues.add(energies[:, None], is_unknown[kept].long())
        return {}

    def densities(self) -> tuple[Weibull, Weibull]:
        """Of known and of unknown objects; made anew when energies come.

        Raises RuntimeError if there are no energies to fit.
        """
        memory = self.queues.memory.squeeze(2).cpu()
        if self._fit is None or not torch.equal(self._fit[0], memory):
            self._fit = memory.clone(), self._densities(memory.numpy())
        return self._fit[1]

    def _densities(self, memory: np.ndarray) -> tuple[Weibull, Weibull]:
        counts = self.queues.counts.tolist()
        rings = [ring[:n] for ring, n in zip(memory, counts)]
        both = np.concatenate(rings)
        if min(counts) < 2 or any(np.ptp(ring) == 0 for ring in rings):
            raise RuntimeError(
                'the score ore has no energies to fit, but '
                f'{counts[0]} of known and {counts[1]} of unknown RoIs: train '
                'with an mmood.PseudoUnknownBBoxHead or load a checkpoint of '
                'such a training'
            )
        shift = float(both.min() - both.std())
        known, unknown = (fit_weibull(ring, shift) for ring in rings)
        return known, unknown


@register_score('ore', kinds=('softmax',))
class ORE:
    """``log p_unknown(E) - log p_known(E)``, logits (N, K) -> (N,), nats.

    p_known and p_unknown are Weibull densities of the energies that the
    head's `EnergyWeibulls` keeps. Above 0 a box is likelier unknown; 0 where
    both are impossible.

    The paper fits them on validation images in which unknown objects are
    annotated. Here nothing needs such labels. Both have one shift: one
    standard deviation of all energies below the smallest.
    """

    def __init__(self, losses: Iterable[nn.Module]) -> None:
        self.energies = find_loss(losses, EnergyWeibulls, 'ore')

    def __call__(self, samples: Samples) -> Tensor:
        known, unknown = self.energies.densities()
        x = energy(samples.logits)
        unlikely = log_weibull_density(x, known)
        return log_weibull_density(x, unknown) - unlikely
