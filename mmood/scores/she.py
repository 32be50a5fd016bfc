"""How little a sample agrees with the stored pattern of its class.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
RoIs, H W for maps). Higher is more OOD.
Source: Zhang et al., "Out-of-Distribution Detection based on In-Distribution
Data Patterns Memorization with Modern Hopfield Energy", ICLR 2023, "SHE".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmood.ops import raised

from .class_means import ClassMeans
from .fitted import (
    FittedScore,
    check_channels,
    labelled_rows,
    rows,
    unrows,
    warn_unseen,
)
from .samples import KINDS, Samples, register_score


@register_score('she', reads=('features', 'logits'), kinds=KINDS)
class SimplifiedHopfieldEnergy(FittedScore):
    """``-x . s_c`` with the predicted class c, (N, C, *) -> (N, *).

    The pattern s_c is the mean of the training features of class c that the
    model takes for it. Unbounded, in the unit of the features squared. The
    class is that of the largest logit. A class without such samples has the
    mean over all classes' samples, with a warning. There is nothing to
    choose.

    Buffers, float64: ``patterns`` (K, C), and ``count`` (K,) of samples.

    `finish` raises ValueError if no sample is classified correctly.
    """

    patterns: Tensor
    count: Tensor

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.channels, self.num_classes = channels, num_classes
        patterns = torch.zeros(num_classes, channels, dtype=torch.float64)
        self.register_buffer('patterns', patterns)
        self.register_buffer('count', patterns.new_zeros(num_classes))
        self._means: ClassMeans | Any = None

    def finish(self, classes: Sequence[str] | None = None) -> None:
        super().finish(classes)
        effect = 'it gets the pattern of all classes'
        warn_unseen(self, self.count, classes, effect)

    def _start(self) -> None:
        self._means = ClassMeans(self.patterns)

    def _add(
        self, samples: Samples, labels: Tensor, keys: Tensor | None
    ) -> None:
        x, labels = self._rows(samples, labels)
        is_right = labels == samples.logits.argmax(1).flatten()
        self._means.add(x[is_right], labels[is_right])

    def _finish(self) -> None:
        count, means = self._means.merge()
        if not count.any():
            raise ValueError(
                'no sample to fit SimplifiedHopfieldEnergy on is classified '
                'correctly: check the labels, or take a later checkpoint'
            )
        means[count == 0] = count @ means / count.sum()
        self.count.copy_(count)
        self.patterns.copy_(means)
        self._means = None

    def _score(self, samples: Samples) -> Tensor:
        check_channels(samples.logits, self.num_classes, 'logits')
        check_channels(samples.features, self.channels)
        x = raised(rows(samples.features))
        classes = samples.logits.argmax(1).flatten()
        with torch.autocast(x.device.type, enabled=False):
            products = x @ self.patterns.to(x).T
        own = products.gather(1, classes[:, None])[:, 0]
        return -unrows(own, samples.features)

    def _rows(self, samples: Samples, labels: Tensor) -> tuple[Tensor, Tensor]:
        sizes = self.channels, self.num_classes
        return labelled_rows(samples.features, labels, *sizes)
