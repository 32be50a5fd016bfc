"""Divergence from the typical softmax of each class.

Shapes: N samples, K classes, * any trailing shape (none for RoIs, H W for
maps). Higher is more OOD.
Source: Hendrycks et al., "Scaling Out-of-Distribution Detection for
Real-World Settings", ICML 2022, "KL matching".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .class_means import ClassMeans
from .fitted import (
    FittedScore,
    check_channels,
    in_parts,
    rows,
    unrows,
    warn_unseen,
)
from .samples import Samples, register_score

CHUNK = 65536  # rows that are in float64 at a time


def kl_matching(
    logits: Tensor, templates: Tensor, is_seen: Tensor | None = None
) -> Tensor:
    """``min_c KL(p || d_c)``, (N, K, *) -> (N, *), float64, in nats, >= 0.

    p is the softmax over the K logits, the templates d_c (n, K) are
    probabilities; those below 2e-308 count as that much. Templates that are
    not ``is_seen`` (n,) do not count. Raises ValueError for n = 0 and for
    another K.
    """
    if not len(templates):
        raise ValueError('templates (n, K) have no class: give at least one')
    check_channels(logits, templates.shape[1], 'logits')
    tiny = torch.finfo(torch.float64).tiny
    log_templates = templates.double().clamp(min=tiny).log()
    parts = []
    for part in in_parts(rows(logits), CHUNK):
        p = part.double().softmax(1)
        cross = p @ log_templates.T
        if is_seen is not None:
            cross = cross.masked_fill(~is_seen, -torch.inf)
        parts.append(-torch.special.entr(p).sum(1) - cross.amax(1))
    return unrows(torch.cat(parts).clamp(min=0), logits)


@register_score('kl_matching', kinds=('softmax',))
class KLMatching(FittedScore):
    """`kl_matching` with the mean softmax of the samples of each class.

    The class is the predicted one, as in the paper: it takes no labels. The
    paper takes validation images, here they are those of the fit. A class
    that is never predicted is left out, with a warning. There is nothing to
    choose.

    Buffers, float64: ``templates`` (K, K), row c is d_c, and ``count`` (K,)
    of samples.

    `finish` raises ValueError if there is no sample.
    """

    templates: Tensor
    count: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        templates = torch.zeros((num_classes,) * 2, dtype=torch.float64)
        self.register_buffer('templates', templates)
        self.register_buffer('count', templates.new_zeros(num_classes))
        self._means: ClassMeans | Any = None

    def vectors(self, samples: Samples) -> Tensor:
        return samples.logits

    def finish(self, classes: Sequence[str] | None = None) -> None:
        super().finish(classes)
        warn_unseen(self, self.count, classes, 'it is left out')

    def _start(self) -> None:
        self._means = ClassMeans(self.templates)

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        check_channels(samples.logits, len(self.templates), 'logits')
        logits = rows(samples.logits)
        self._means.add(logits.double().softmax(1), logits.argmax(1))

    def _finish(self) -> None:
        count, means = self._means.merge()
        self._check_any(count.sum())
        self.count.copy_(count)
        self.templates.copy_(means)
        self._means = None

    def _score(self, samples: Samples) -> Tensor:
        return kl_matching(samples.logits, self.templates, self.count > 0)
