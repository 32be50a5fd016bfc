"""Virtual outliers: unlikely samples of Gaussians fitted to the features.

Shapes: N samples, K classes, C channels, M outliers.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from torch import Tensor

from mmood.losses import Batch
from mmood.ops import ClassQueues
from mmood.registry import MODELS
from mmood.scores import Samples

from .gaussians import low_likelihood_samples, tied_gaussians
from .source import OutlierSource


@MODELS.register_module()
class VirtualOutlierSynthesis(OutlierSource):
    """Outliers of low likelihood under the classes' Gaussians.

    The Gaussians follow the newest ``queue_size`` features of each class,
    with a covariance in common. Outliers start once all queues are full. A
    class too rare for that is waited for in ``patience`` active calls and
    then left out, which is logged, until its queue is full after all.

    Args:
        num_candidates, num_select: of so many draws per class the so many
            least likely are the outliers.
        shrinkage, jitter: of the covariance, see `tied_gaussians`.
        start: see `OutlierSource`.

    Buffers: the queues' and ``waited``, the active calls so far. Ranks hold
    the same ones and decide the same, but draw their own outliers.
    Source: VOS (ICLR 2022), Sec. 3.1. Here queues are in checkpoints and
    common to all ranks, and no rare class can stop the method.
    """

    waited: Tensor
    exact_buffers = ('waited',)

    reads = ('classify',)

    def __init__(
        self,
        num_classes: int,
        channels: int,
        *,
        queue_size: int = 1000,
        num_candidates: int = 10000,
        num_select: int = 1,
        patience: int = 1000,
        shrinkage: float = 0.0,
        jitter: float = 1e-4,
        **start: Any,
    ) -> None:
        super().__init__(**start)
        if not 1 <= num_select <= num_candidates:
            raise ValueError(
                'num_select must be in [1, num_candidates], got '
                f'{num_select} of {num_candidates}'
            )
        if not (0 <= shrinkage <= 1 and jitter > 0):
            raise ValueError(
                'shrinkage must be in [0, 1] and jitter positive, got '
                f'{shrinkage} and {jitter}'
            )
        self.queues = ClassQueues(num_classes, channels, queue_size)
        self.num_candidates = num_candidates
        self.num_select = num_select
        self.patience = patience
        self.shrinkage = shrinkage
        self.jitter = jitter
        self.register_buffer('waited', torch.tensor(0))
        self._left_out: list[int] = []

    def forward(
        self, batch: Batch
    ) -> tuple[Samples | None, dict[str, Tensor]]:
        """Queue the known features; ``num_select`` outliers per class.

        None while no class is sampled. No gradient flows into the features.
        A collective call, also with N = 0. Raises ValueError as
        `ClassQueues.add` and `tied_gaussians` do.
        """
        features = batch.known.features
        self.queues.add(features, batch.known_labels)
        made = self._made() if self.is_active(batch) else None
        if made is None:
            return None, {}
        return batch.classified(made.to(features)), {}

    @torch.no_grad()
    def _made(self) -> Tensor | None:
        """Features (M, C) of the classes whose turn it is."""
        sampled = self._sampled()
        if not sampled:
            return None
        held = self.queues.memory
        if len(sampled) < len(held):
            held = held[sampled]
        gaussians = tied_gaussians(
            held,
            jitter=self.jitter,
            shrinkage=self.shrinkage,
        )
        return low_likelihood_samples(
            *gaussians, self.num_candidates, self.num_select
        )

    def _sampled(self) -> list[int]:
        """The classes to sample; none while it waits for more."""
        self.waited += 1
        # Together, to wait for the device only once.
        both = torch.cat([self.queues.is_full.long(), self.waited[None]])
        *full, waited = both.tolist()
        if waited <= self.patience and not all(full):
            return []
        left_out = [k for k, is_full in enumerate(full) if not is_full]
        if left_out != self._left_out:
            self._left_out = left_out
            self._report()
        return [k for k, is_full in enumerate(full) if is_full]

    def _report(self) -> None:
        if not is_main_process():
            return
        counts = self.queues.counts.tolist()
        size = self.queues.memory.shape[1]
        logger = MMLogger.get_current_instance()
        if not self._left_out:
            logger.info('all classes are sampled for virtual outliers now')
            return
        held = ', '.join(f'{k} ({counts[k]})' for k in self._left_out)
        rest = len(counts) - len(self._left_out)
        logger.warning(
            f'virtual outliers come from {rest} of {len(counts)} classes: '
            f'after {self.patience} iterations these hold less than {size} '
            f'samples, class (samples): {held}; lower queue_size to include '
            'them'
        )
