"""Probability of an unknown class, by how far logits are from their class.

Shapes: N samples, K classes, * any trailing shape (none for RoIs, H W for
maps). Higher is more OOD.
Source: Bendale and Boult, "Towards Open Set Deep Networks", CVPR 2016, and
the authors' public code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmood.ops import Reservoir, fit_weibull, weibull_cdf

from .class_means import ClassMeans
from .fitted import (
    FittedScore,
    check_channels,
    in_parts,
    labelled_rows,
    rows,
    unrows,
    warn_unseen,
)
from .samples import Samples, register_score

CHUNK = 65536  # rows that are in float64 at a time
SHIFT = 10_000  # from the tail's smallest distance to where densities start
ROUNDING = 1e-8  # distances that differ by less are the same


def openmax(
    logits: Tensor,
    means: Tensor,
    weibulls: Tensor,
    alpha: int = 10,
    euclidean_weight: float = 1 / 200,
) -> Tensor:
    """P(unknown), (N, K, *) -> (N, *), float64, in [0, 1].

    With the activations v, the logits, and w_c in [0, 1], how surely the
    `activation_distance` of v to the mean of class c is beyond what is usual
    there: ``exp(u) / (exp(u) + sum_c exp(v_c (1 - a_c w_c)))`` and
    ``u = sum_c v_c a_c w_c``. The ranks' weights a_c are ``(alpha - i) /
    alpha`` for the i-th largest activation, i from 0, and 0 from ``alpha``
    on; w_c are the Weibull distributions of ``weibulls`` (3, K): shape,
    scale, and what they are above. Raises ValueError unless ``alpha`` is in
    1..K, and for another K.
    """
    check_channels(logits, len(means), 'logits')
    if not 1 <= alpha <= len(means):
        raise ValueError(
            f'alpha must be in 1..{len(means)}, the number of classes, got '
            f'{alpha}'
        )
    parts = []
    for v in in_parts(rows(logits), CHUNK):
        v = v.double()
        distance = activation_distance(v, means, euclidean_weight)
        share = weibull_cdf(distance, *weibulls) * _rank_weights(v, alpha)
        unknown = (v * share).sum(1, keepdim=True)
        revised = torch.cat([unknown, v * (1 - share)], 1)
        parts.append(revised.softmax(1)[:, 0])
    return unrows(torch.cat(parts), logits)


def activation_distance(
    v: Tensor, means: Tensor, euclidean_weight: float
) -> Tensor:
    """``w |v - m_c| + 1 - cos(v, m_c)``, (N, K) and (n, K) -> (N, n)."""
    cosines = F.normalize(v, dim=1) @ F.normalize(means, dim=1).T
    return euclidean_weight * torch.cdist(v, means) + 1 - cosines


def _rank_weights(v: Tensor, alpha: int) -> Tensor:
    """a_c of the activations (N, K) -> (N, K)."""
    places = v.topk(alpha).indices
    weights = 1 - torch.arange(alpha).to(v) / alpha
    return torch.zeros_like(v).scatter(1, places, weights.expand(places.shape))


@register_score('openmax', kinds=('softmax',))
class OpenMax(FittedScore):
    """`openmax` with means and Weibull tails of the training samples.

    The mean activation of class c is that of its samples that are classified
    correctly. Its Weibull distribution is the likeliest for the ``tail_size``
    largest of their distances to that mean; it starts 10,000 below the
    smallest of them, as in the authors' libMR. The tail is that of a random
    sample of ``sample_size`` of them, so that memory does not grow with the
    data; 1300 is what ImageNet has of a class. A class whose distances are
    all the same is never revised, with a warning.

    Negative activations are revised as the others are, which raises them.
    ``tail_size``, ``alpha`` (here at most K), its weights and
    ``euclidean_weight`` are the authors' code's for ImageNet.

    Buffers, float64: ``means`` (K, K), row c is the mean of class c,
    ``weibulls`` (3, K), whose scale is infinite if a class has none, and
    ``count`` (K,) of samples.

    Raises ValueError unless ``tail_size`` is at least 2, ``alpha`` at least
    1 and ``euclidean_weight`` at least 0; `finish` if no class has a tail.
    """

    means: Tensor
    weibulls: Tensor
    count: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        tail_size: int = 20,
        alpha: int = 10,
        euclidean_weight: float = 1 / 200,
        sample_size: int = 1300,
    ) -> None:
        super().__init__()
        given: dict[str, float] = dict(tail_size=tail_size, alpha=alpha)
        given['euclidean_weight'] = euclidean_weight
        for (name, value), least in zip(given.items(), (2, 1, 0)):
            if not value >= least:
                raise ValueError(
                    f'{name} must be at least {least}, got {value}'
                )
        self.num_classes, self.sample_size = num_classes, sample_size
        self.tail_size, self.alpha = tail_size, min(alpha, num_classes)
        self.euclidean_weight = euclidean_weight
        means = torch.zeros((num_classes,) * 2, dtype=torch.float64)
        self.register_buffer('means', means)
        self.register_buffer('weibulls', means.new_ones(3, num_classes))
        self.register_buffer('count', means.new_zeros(num_classes))
        self._means: ClassMeans | Any = None
        self._samples: list[Reservoir] = []

    def vectors(self, samples: Samples) -> Tensor:
        return samples.logits

    def finish(self, classes: Sequence[str] | None = None) -> None:
        super().finish(classes)
        effect = (
            'it is not revised (two that are right, and differ, are needed)'
        )
        warn_unseen(self, self.count, classes, effect)

    def _start(self) -> None:
        self._means = ClassMeans(self.means)
        self._samples = [
            Reservoir(self.sample_size) for _ in range(self.num_classes)
        ]

    def _add(
        self, samples: Samples, labels: Tensor, keys: Tensor | None
    ) -> None:
        sizes = (self.num_classes,) * 2
        logits, labels = labelled_rows(
            samples.logits, labels, *sizes, 'logits'
        )
        is_right = labels == logits.argmax(1)
        self._means.add(logits[is_right], labels[is_right])
        keys = None if keys is None else keys.flatten().to(labels.device)
        for c in labels[is_right].unique().tolist():
            own = is_right & (labels == c)
            known = None if keys is None else keys[own]
            self._samples[c].add(logits[own], known)

    def _finish(self) -> None:
        count, means = self._means.merge()
        samples = [sample.merge().to(means) for sample in self._samples]
        weibulls = torch.ones_like(self.weibulls)
        weibulls[1] = torch.inf
        for c, sample in enumerate(samples):
            tail = sample.new_zeros(0)
            if len(sample):
                tail = self._tail(sample, means[c : c + 1])
            if len(tail) < 2 or tail[-1] - tail[0] < ROUNDING:
                count[c] = 0
                continue
            found = fit_weibull(tail.cpu().numpy(), float(tail[0]) - SHIFT)
            weibulls[:, c] = weibulls.new_tensor(
                [found.shape, found.scale, found.shift]
            )
        if not count.any():
            raise ValueError(
                'no class has two samples to fit OpenMax on that are '
                'classified correctly and differ: fit on more images, or take '
                'a later checkpoint'
            )
        self.count.copy_(count)
        self.means.copy_(means)
        self.weibulls.copy_(weibulls)
        self._means, self._samples = None, []

    def _tail(self, sample: Tensor, mean: Tensor) -> Tensor:
        """The largest distances to the mean (1, K), in order."""
        distance = activation_distance(sample, mean, self.euclidean_weight)
        return distance[:, 0].sort().values[-self.tail_size :]

    def _score(self, samples: Samples) -> Tensor:
        return openmax(
            samples.logits,
            self.means,
            self.weibulls,
            self.alpha,
            self.euclidean_weight,
        )
