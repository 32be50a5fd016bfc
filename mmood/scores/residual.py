"""How far a sample leaves the directions in which training samples vary.

Shapes: N samples, C channels, K classes, D principal directions, * any
trailing shape (none for RoIs, H W for maps). Higher is more OOD.
Source: Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching",
CVPR 2022, Sec. 4.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from mmood.ops import Reservoir

from .classifier import LinearClassifier
from .fitted import FittedScore, check_channels, in_parts, rows, unrows
from .logits import energy
from .mahalanobis import CHUNK, RANK_TOLERANCE, Moments
from .samples import KINDS, Samples, register_score

ORIGINS = ('classifier', 'mean')


def residual(x: Tensor, origin: Tensor, projection: Tensor) -> Tensor:
    """``|Q (x - o)|``, (N, C, *) -> (N, *), >= 0, in the features' unit.

    Q (C, C) projects on the space that is orthogonal to the principal one,
    see `residual_projection`; o (C,). In the projection's precision.
    """
    parts = [
        torch.linalg.vector_norm(
            (part.to(projection) - origin) @ projection, dim=1
        )
        for part in in_parts(rows(x), CHUNK)
    ]
    return unrows(torch.cat(parts), x)


def residual_projection(scatter: Tensor, dim: int) -> Tensor:
    """Q (C, C) without the ``dim`` directions of the largest scatter (C, C).

    Fewer are left out if there are fewer: eigenvalues of at most 1e-12 of the
    largest do not count.
    """
    values, vectors = torch.linalg.eigh(scatter)
    rank = int((values > RANK_TOLERANCE * values.amax()).sum())
    principal = vectors[:, len(values) - min(dim, rank) :]
    identity = torch.eye(len(scatter)).to(scatter)
    return identity - principal @ principal.T


def principal_dimension(channels: int) -> int:
    """D of C channels: 1000 for C > 1500, else 512, but half of C < 768.

    The authors' code has 1000 from C = 2048 on and 512 below; their smallest
    C is 768.
    """
    if channels > 1500:
        return 1000
    return 512 if channels >= 768 else channels // 2


@register_score('residual', reads=('features', 'classifier'), kinds=KINDS)
class Residual(FittedScore):
    """`residual` from the principal space of the training features.

    That is spanned by the D eigenvectors of ``sum (x - o)(x - o)^T`` with
    the largest eigenvalues. The origin o is the point closest to 0 where all
    logits are 0, ``-W^+ b`` of the classifier (``'classifier'``, as in the
    paper; in the least squares' sense if there is none), or the mean of the
    training features (``'mean'``), which needs no linear classifier.

    Buffers, float64: ``origin`` (C,) and ``projection`` (C, C).

    Args:
        dim: D; None: `principal_dimension`.

    Raises ValueError unless 0 <= D < C, and for an unknown origin; `finish`
    if there is no sample or all are at the origin.
    """

    origin: Tensor
    projection: Tensor

    def __init__(
        self,
        channels: int,
        dim: int | None = None,
        *,
        origin: str = 'classifier',
    ) -> None:
        super().__init__()
        self.channels = channels
        self.dim = principal_dimension(channels) if dim is None else dim
        if not 0 <= self.dim < channels:
            raise ValueError(
                f'dim must be in 0..{channels - 1}, so that a direction of '
                f'the {channels} channels is left, got {self.dim}'
            )
        if origin not in ORIGINS:
            raise ValueError(f'origin must be of {ORIGINS}, got {origin!r}')
        if origin == 'mean':
            self.reads = tuple(r for r in self.reads if r != 'classifier')
        float64: dict[str, Any] = dict(dtype=torch.float64)
        self.register_buffer('origin', torch.zeros(channels, **float64))
        self.register_buffer('projection', torch.eye(channels, **float64))
        self._moments: Moments | Any = None
        self._zero: Tensor | None = None

    @property
    def _is_of_classifier(self) -> bool:
        return 'classifier' in self.reads

    def _start(self) -> None:
        self._moments = Moments(self.origin[None])
        self._zero = None

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        check_channels(samples.features, self.channels)
        if self._is_of_classifier and self._zero is None:
            self._zero = self._zero_of(samples.classifier)
        for part in rows(samples.features).split(CHUNK):
            zeros = torch.zeros(len(part), dtype=torch.int64)
            self._moments.add(part, zeros)

    def _zero_of(self, classifier: LinearClassifier) -> Tensor:
        """Where its logits are 0, (C,); ValueError for another width."""
        weight, bias = classifier.weight, classifier.bias
        check_channels(weight, self.channels)
        inverse = torch.linalg.pinv(weight.to(self.origin))
        return -inverse @ bias.to(self.origin)

    def _finish(self) -> None:
        count, mean, scatter = self._moments.merge()
        origin = self._merged_zero() if self._is_of_classifier else mean[0]
        self._check_any(count.sum())
        offset = mean[0] - origin
        scatter = scatter + count * torch.outer(offset, offset)
        if not scatter.diagonal().sum() > 0:
            raise ValueError(
                f'all {int(count)} features are the same, and have no '
                'principal direction: fit on more images, and check that the '
                'checkpoint is a trained one'
            )
        self.origin.copy_(origin)
        self.projection.copy_(residual_projection(scatter, self.dim))
        self._moments = None

    def _merged_zero(self) -> Tensor:
        """Of the ranks that got samples; others have seen no classifier."""
        own = self._zero
        known = self.origin.new_tensor(float(own is not None))
        total = torch.zeros_like(self.origin) if own is None else own.clone()
        all_reduce(known)
        all_reduce(total)
        return total / known.clamp(min=1)

    def _score(self, samples: Samples) -> Tensor:
        check_channels(samples.features, self.channels)
        return residual(samples.features, self.origin, self.projection)


@register_score(
    'vim', reads=('features', 'logits', 'classifier'), kinds=('softmax',)
)
class ViM(Residual):
    """``a r(x) - logsumexp(z)``, (N, C, *) -> (N, *), float64, unbounded.

    The paper's score is the probability of a virtual class with the logit
    ``a r(x)`` beside the K logits z, r the `Residual`; this is its log-odds,
    ``log p / (1 - p)``, of the same order and without an end, as in the
    authors' code. ``a = sum max_k z_k / sum r`` over training samples: of at
    most ``sample_size`` drawn at random, so that memory does not grow with
    the data.

    Buffers, float64, besides those of `Residual`: ``scale``, a.

    `finish` also raises ValueError if the samples do not leave the principal
    space, or if the mean of their largest logits is not positive: a would
    turn the score around.
    """

    scale: Tensor

    def __init__(
        self,
        channels: int,
        dim: int | None = None,
        *,
        origin: str = 'classifier',
        sample_size: int = 5000,
    ) -> None:
        super().__init__(channels, dim, origin=origin)
        self.sample_size = sample_size
        Reservoir(sample_size)  # refuses what is no size
        self.register_buffer('scale', torch.zeros((), dtype=torch.float64))
        self._sample: Reservoir | Any = None

    def _start(self) -> None:
        super()._start()
        self._sample = Reservoir(self.sample_size)

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        super()._add(samples, labels, keys)
        both = torch.cat(
            [
                rows(samples.features).float(),
                rows(samples.logits).float().amax(1, keepdim=True),
            ],
            1,
        )
        self._sample.add(both, None if keys is None else keys.flatten())

    def _finish(self) -> None:
        sample = self._sample.merge().to(self.origin)
        super()._finish()
        x, largest = sample[:, :-1], sample[:, -1].mean()
        left = residual(x, self.origin, self.projection).mean()
        length = torch.linalg.vector_norm(x - self.origin, dim=1).mean()
        # Below that it is the rounding of single precision.
        if not left > 1e-6 * length:
            raise ValueError(
                f'the training features do not leave their {self.dim} '
                'principal directions: lower dim, or fit on more images'
            )
        if not largest > 0:
            raise ValueError(
                f'the mean of the largest logits is {largest:.3g}, and ViM '
                'matches the residual with it, which must be positive: train '
                "longer, or take 'residual'"
            )
        self.scale.copy_(largest / left)
        self._sample = None

    def _score(self, samples: Samples) -> Tensor:
        virtual = self.scale * super()._score(samples)
        return virtual + energy(samples.logits.double())
