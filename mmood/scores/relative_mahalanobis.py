"""Distance to the nearest class, less that to all classes as one.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
RoIs, H W for maps). Higher is more OOD.
Source: Ren et al., "A Simple Fix to Mahalanobis Distance for Improving
Near-OOD Detection", 2021 (arXiv:2106.09022).
"""

from __future__ import annotations

from torch import Tensor

from .mahalanobis import Mahalanobis, whitened_distance, whitening_of
from .samples import KINDS, Samples, register_score


@register_score('rmds', reads=('features',), kinds=KINDS)
class RelativeMahalanobis(Mahalanobis):
    """``min_c MD_c(x) - MD_0(x)``, (N, C, *) -> (N, *), float64, unbounded.

    MD_c is `mahalanobis` to the mean of class c, MD_0 that to the mean of
    all samples, in units of their spread around it: what is unusual without
    telling the classes apart cancels. The total scatter is that within the
    classes and that of their means, so one pass serves both. Arguments,
    pseudo-inverses and a class without samples: see `Mahalanobis`.

    Buffers, float64, besides those: ``total_mean`` (C,) and
    ``total_whitening`` (C, C).

    Raises ValueError for fewer than two classes, `finish` also if all
    samples are of one: there both distances are the same.
    """

    total_mean: Tensor
    total_whitening: Tensor

    def __init__(self, channels: int, num_classes: int, **options) -> None:
        super().__init__(channels, num_classes, **options)
        if num_classes < 2:
            raise ValueError(
                'rmds compares a class with all of them, got '
                f"num_classes={num_classes}: take 'mahalanobis'"
            )
        self.register_buffer('total_mean', self.means[0].clone())
        self.register_buffer('total_whitening', self.whitening.clone())

    def _store(self, count: Tensor, means: Tensor, scatter: Tensor) -> None:
        if (count > 0).sum() < 2:
            raise ValueError(
                'rmds compares a class with all of them, and all '
                f'{int(count.sum())} samples are of one: fit on more images'
            )
        super()._store(count, means, scatter)
        mean = count @ means / count.sum()
        offset = (means - mean) * count.sqrt()[:, None]
        covariance = (scatter + offset.T @ offset) / count.sum()
        self.total_mean.copy_(mean)
        self.total_whitening.copy_(whitening_of(covariance, self.shrinkage))

    def _score(self, samples: Samples) -> Tensor:
        x, mean = self.vectors(samples), self.total_mean[None]
        background = whitened_distance(x, mean, self.total_whitening)
        return super()._score(samples) - background
