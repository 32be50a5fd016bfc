"""ORE's energy-based unknown identifier.

Shapes: N boxes, K known classes, M values. Source: Joseph et al., "Towards
Open World Object Detection", CVPR 2021, Sec. 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from mmood.ops import (
    Activity,
    ClassQueues,
    Weibull,
    fit_weibull,
    log_weibull_density,
)
from mmood.registry import MODELS
from mmood.scores import Samples, energy, register_score

from .batch import OUTLIER, Batch, find_loss
from .open_set import OpenSetLoss


@MODELS.register_module()
class EnergyWeibulls(OpenSetLoss):
    """Keeps the energies of known and unknown objects; no loss by itself.

    The energy is ``-T logsumexp(z / T)`` of the known classes' logits z.
    Kept are the last ``size`` of RoIs on known objects and of those that an
    `mmood.PseudoUnknownBBoxHead` took for unknown ones, of all ranks. `ORE`
    scores boxes by densities of them. A training starts without those that
    a checkpoint brought along, which are of other weights.
    `mmood.LabelledEnergiesHook` puts those of annotated objects in their
    place.
    Raises ValueError for a ``temperature`` that is not positive.
    """

    def __init__(self, size: int = 1000, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(
                f'temperature must be positive, got {temperature}'
            )
        self.temperature = temperature
        self.queues = ClassQueues(num_classes=2, channels=1, size=size)
        self.activity = Activity(
            'the unknown objects of EnergyWeibulls: train with an '
            'mmood.PseudoUnknownBBoxHead, longer than until its start'
        )
        self._fit: tuple[Tensor, tuple[Weibull, Weibull]] | None = None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Keep the energies of a step, no loss; a collective call."""
        if batch.iteration == 0:
            self.queues.seen.zero_()
        rows = batch.object_rows
        is_unknown = batch.labels[rows] == OUTLIER
        self.activity.add(is_unknown.sum())
        self.add(batch.logits[rows, : batch.num_classes], is_unknown)
        return {}

    def add(self, logits: Tensor, is_unknown: Tensor) -> None:
        """Keep the energies of objects (N, K), (N,); a collective call."""
        energies = self.of(logits.detach())
        self.queues.add(energies[:, None], is_unknown.long())

    def of(self, logits: Tensor) -> Tensor:
        """Energies (N,) of the known classes' logits (N, K)."""
        return energy(logits, temperature=self.temperature)

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
    annotated, a leak; here nothing needs such labels, unless
    `mmood.LabelledEnergiesHook` asks for them. Both have one shift: one
    standard deviation of all energies below the smallest. The public code
    compares the densities' integrals over half a unit to each side.
    """

    def __init__(self, losses: Iterable[nn.Module]) -> None:
        self.energies = find_loss(losses, EnergyWeibulls, 'ore')

    def __call__(self, samples: Samples) -> Tensor:
        known, unknown = self.energies.densities()
        x = self.energies.of(samples.logits)
        unlikely = log_weibull_density(x, known)
        return log_weibull_density(x, unknown) - unlikely
