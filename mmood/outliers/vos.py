"""Virtual outliers: unlikely samples of Gaussians fitted to the features.

Shapes: N samples, K classes, C channels, M outliers.
"""

from __future__ import annotations

import torch
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from torch import Tensor, nn

from mmood.ops import ClassQueues
from mmood.registry import MODELS

from .gaussians import low_likelihood_samples, tied_gaussians


@MODELS.register_module()
class VirtualOutlierSynthesis(nn.Module):
    """Outliers of low likelihood under the classes' Gaussians.

    The Gaussians follow the newest ``queue_size`` features of each class,
    with a covariance in common. Outliers start once all queues are full. A
    class too rare for that is waited for in ``patience`` active calls and
    then left out, which is logged, until its queue is full after all.

    Args:
        num_candidates, num_select: of so many draws per class the so many
            least likely are the outliers.
        shrinkage, jitter: of the covariance, see `tied_gaussians`.

    Buffers: the queues' and ``waited``, the active calls so far. Ranks hold
    the same ones and decide the same, but draw their own outliers.
    Source: VOS (ICLR 2022), Sec. 3.1. Here queues are in checkpoints and
    common to all ranks, and no rare class can stop the method.
    """

    exact_buffers = ('waited',)

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
    ) -> None:
        super().__init__()
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

    @torch.no_grad()
    def forward(
        self, features: Tensor, labels: Tensor, active: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Queue features (N, C); outliers (M, C) and no losses.

        M is ``num_select`` per class that is sampled; 0 if not ``active``.
        No gradient flows back. A collective call, also with N = 0.
        Raises ValueError as `ClassQueues.add` and `tied_gaussians` do.
        """
        self.queues.add(features, labels)
        sampled = self._sampled() if active else None
        if sampled is None or not sampled.any():
            return features.new_zeros((0, features.shape[1])), {}
        gaussians = tied_gaussians(
            self.queues.memory[sampled],
            jitter=self.jitter,
            shrinkage=self.shrinkage,
        )
        outliers = low_likelihood_samples(
            *gaussians, self.num_candidates, self.num_select
        )
        return outliers.to(features), {}

    def _sampled(self) -> Tensor | None:
        """Mask (K,) of the classes to sample; None while waiting for more."""
        full = self.queues.is_full
        self.waited += 1
        if self.waited <= self.patience and not full.all():
            return None
        left_out = (~full).nonzero().flatten().tolist()
        if left_out != self._left_out:
            self._left_out = left_out
            self._report()
        return full

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
