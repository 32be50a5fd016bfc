"""Distance to the nearest class mean in units of the classes' spread.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
RoIs, H W for maps). Higher is more OOD.
Source: Lee et al., "A Simple Unified Framework for Detecting
Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018, Sec. 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor

from mmood.ops import raised

from .fitted import (
    FittedScore,
    check_channels,
    in_parts,
    labelled_rows,
    rows,
    unrows,
    warn_unseen,
)
from .samples import KINDS, Samples, register_score

CHUNK = 4096  # rows that are in float64 at a time
RANK_TOLERANCE = 1e-12  # of the largest eigenvalue


def mahalanobis(x: Tensor, means: Tensor, precision: Tensor) -> Tensor:
    """``min_c (x - m_c)^T P (x - m_c)``, (N, C, *) -> (N, *), float64, >= 0.

    ``means`` (K, C) and the inverse, or pseudo-inverse, P (C, C) of the
    covariance that all classes share. Without unit: in the mean over a
    class's own samples it is C, or the rank of P. The squared distance, Eq.
    2 with the opposite sign; input preprocessing and the ensemble of layers
    are left out. Raises ValueError for K = 0, and if P has an eigenvalue
    below 0 (by more than 1e-12 of the largest).
    """
    values, vectors = torch.linalg.eigh(precision.double())
    if not values.amin() >= -RANK_TOLERANCE * values.amax():
        raise ValueError(
            f'precision has the eigenvalue {values.amin():.3g}: give the '
            'inverse of a covariance'
        )
    factor = vectors * values.clamp(min=0).sqrt()
    return whitened_distance(x, means, factor)


def whitened_distance(
    x: Tensor,
    means: Tensor,
    whitening: Tensor,
    is_seen: Tensor | None = None,
) -> Tensor:
    """`mahalanobis` for P = W W^T, whose W (C, C) it takes.

    Means that are not ``is_seen`` (K,) do not count.
    """
    if not len(means):
        raise ValueError('means (K, C) have no class: give at least one')
    check_channels(x, means.shape[1])
    means = means.to(whitening)
    # From near the data's middle the distances lose no digits.
    shift = means.mean(0)
    centers = (means - shift) @ whitening
    parts = []
    for part in in_parts(rows(x), CHUNK):
        distances = torch.cdist(
            (part.to(whitening) - shift) @ whitening, centers
        )
        if is_seen is not None:
            distances = distances.masked_fill(~is_seen, torch.inf)
        parts.append(distances.amin(1))
    return unrows(torch.cat(parts).square(), x)


@register_score('mahalanobis', reads=('features',), kinds=KINDS)
class Mahalanobis(FittedScore):
    """`mahalanobis` to the means of the K classes in the training data.

    The covariance is that of all samples around their class's mean, divided
    by their number. ``shrinkage`` a in [0, 1] makes it ``(1 - a) S + a t I``
    with t the mean variance ``tr S / C``, as sklearn's `shrunk_covariance`.
    P is its pseudo-inverse: directions whose variance is at most 1e-12 of
    the largest (a deviation of 1e-6, the rounding of features in single
    precision) do not count. They stem from constant channels, such as dead
    ones, or from fewer samples than channels; so that a sample is not judged
    by what the training never showed. A class without samples is left out,
    with a warning.

    ``normalize`` scales all vectors to unit length first, in the fit and
    after it: short features, such as those of unknown objects, are near all
    means otherwise. Source: Mueller and Hein, "Mahalanobis++: Improving OOD
    Detection via Feature Normalization", ICML 2025.

    Buffers, float64: ``means`` (K, C), ``whitening`` (C, C), the symmetric
    root of P, and ``count`` (K,) of samples.

    `finish` raises ValueError if there is no sample, or if the samples do
    not vary within the classes.
    """

    means: Tensor
    whitening: Tensor
    count: Tensor

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        shrinkage: float = 0.0,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= shrinkage <= 1:
            raise ValueError(f'shrinkage must be in [0, 1], got {shrinkage}')
        self.channels, self.num_classes = channels, num_classes
        self.shrinkage, self.normalize = shrinkage, normalize
        float64: dict[str, Any] = dict(dtype=torch.float64)
        means = torch.zeros(num_classes, channels, **float64)
        self.register_buffer('means', means)
        self.register_buffer('whitening', torch.eye(channels, **float64))
        self.register_buffer('count', torch.zeros(num_classes, **float64))
        self._moments: Moments | Any = None

    def vectors(self, samples: Samples) -> Tensor:
        x = samples.features
        return F.normalize(raised(x), dim=1) if self.normalize else x

    def finish(self, classes: Sequence[str] | None = None) -> None:
        super().finish(classes)
        warn_unseen(self, self.count, classes, 'it is left out')

    def _start(self) -> None:
        self._moments = Moments(self.means)

    def _add(
        self, samples: Samples, labels: Tensor, keys: Tensor | None
    ) -> None:
        x, labels = labelled_rows(
            self.vectors(samples), labels, self.channels, self.num_classes
        )
        for part in zip(x.split(CHUNK), labels.split(CHUNK)):
            self._moments.add(*part)

    def _finish(self) -> None:
        count, means, scatter = self._moments.merge()
        self._check_any(count.sum())
        self._store(count, means, scatter)
        self._moments = None

    def _store(self, count: Tensor, means: Tensor, scatter: Tensor) -> None:
        whitening = whitening_of(scatter / count.sum(), self.shrinkage)
        self.count.copy_(count)
        self.means.copy_(means)
        self.whitening.copy_(whitening)

    def _score(self, samples: Samples) -> Tensor:
        return whitened_distance(
            self.vectors(samples), self.means, self.whitening, self.count > 0
        )


class Moments:
    """Means of classes, and the scatter of samples around them, streamed.

    ``count`` (K,), ``mean`` (K, C), ``scatter`` (C, C) in the precision and
    on the device of ``like`` (K, C). Of parts with different means: Chan et
    al., "Algorithms for Computing the Sample Variance", 1983; it loses no
    digits to a mean that is far from 0.
    """

    def __init__(self, like: Tensor) -> None:
        num_classes, channels = like.shape
        self.count = like.new_zeros(num_classes)
        self.mean = like.new_zeros(num_classes, channels)
        self.scatter = like.new_zeros(channels, channels)

    def add(self, x: Tensor, labels: Tensor) -> None:
        """Samples (N, C) with classes (N,)."""
        x = x.to(self.mean)
        present, index = labels.to(x.device).unique(return_inverse=True)
        new = index.bincount(minlength=len(present)).to(x)
        mean = x.new_zeros(len(present), x.shape[1]).index_add_(0, index, x)
        mean /= new[:, None]
        spread = x - mean[index]
        offset = mean - self.mean[present]
        share = new / (self.count[present] + new)
        weight = self.count[present] * share
        self.scatter.addmm_(spread.T, spread)
        self.scatter.addmm_((offset * weight[:, None]).T, offset)
        self.mean[present] += offset * share[:, None]
        self.count[present] += new

    def merge(self) -> tuple[Tensor, Tensor, Tensor]:
        """Count, mean and scatter of all ranks; a collective call."""
        count, mean = self.count.clone(), self.mean * self.count[:, None]
        all_reduce(count)
        all_reduce(mean)
        mean /= count.clamp(min=1)[:, None]
        offset = (self.mean - mean) * self.count.sqrt()[:, None]
        scatter = self.scatter + offset.T @ offset
        all_reduce(scatter)
        return count, mean, scatter


def whitening_of(covariance: Tensor, shrinkage: float) -> Tensor:
    """W (C, C) with ``W W^T`` the pseudo-inverse of the shrunk covariance.

    The symmetric one: that with a column for each eigenvector would depend
    on rounding, in their signs and among those of equal variance.
    """
    variance = covariance.diagonal().mean()
    identity = torch.eye(len(covariance)).to(covariance)
    shrunk = (1 - shrinkage) * covariance + shrinkage * variance * identity
    values, vectors = torch.linalg.eigh(shrunk)
    counts = values > RANK_TOLERANCE * values.amax()
    if not variance > 0 or not counts.any():
        raise ValueError(
            f'the features have a mean variance of {variance:.3g} within the '
            'classes, whose covariance has no inverse: fit on more images, '
            'and check that the checkpoint is a trained one'
        )
    scales = torch.where(counts, values, torch.inf).rsqrt()
    return vectors * scales @ vectors.T
