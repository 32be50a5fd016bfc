"""Means of the samples of each class, streamed.

Shapes: N samples, C channels, K classes.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from .fitted import FittedScore, check_channels, rows
from .samples import Samples


class ClassMeans:
    """Means and numbers of samples, in the precision of ``like`` (K, C)."""

    def __init__(self, like: Tensor) -> None:
        self.count = like.new_zeros(len(like))
        self.total = torch.zeros_like(like)

    def add(self, x: Tensor, labels: Tensor | None = None) -> None:
        """Samples (N, C) with classes (N,); None: all are of class 0."""
        if labels is None:
            labels = torch.zeros(len(x), dtype=torch.int64)
        labels = labels.to(self.total.device)
        self.total.index_add_(0, labels, x.to(self.total))
        self.count += labels.bincount(minlength=len(self.count))

    def merge(self) -> tuple[Tensor, Tensor]:
        """Count (K,) and mean (K, C) of all ranks; a collective call.

        A class without samples has the mean 0.
        """
        count, total = self.count.clone(), self.total.clone()
        all_reduce(count)
        all_reduce(total)
        return count, total / count.clamp(min=1)[:, None]


class FitsMean(FittedScore):
    """Part of a score: ``mean`` (C,) of all samples."""

    mean: Tensor

    def _make_mean(self, channels: int) -> None:
        self.channels = channels
        mean = torch.zeros(channels, dtype=torch.float64)
        self.register_buffer('mean', mean)
        self._means: ClassMeans | Any = None

    def _start(self) -> None:
        self._means = ClassMeans(self.mean[None])

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        check_channels(samples.features, self.channels)
        self._means.add(rows(samples.features))

    def _finish(self) -> None:
        count, mean = self._means.merge()
        self._check_any(count)
        self.mean.copy_(mean[0])
        self._means = None
