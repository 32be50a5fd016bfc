"""How far correlations of features leave the range seen in training.

Shapes: N samples, C channels, K classes, P powers, * any trailing shape
(none for RoIs, H W for maps). Higher is more OOD.
Source: Sastry and Oore, "Detecting Out-of-Distribution Examples with Gram
Matrices", ICML 2020, and the authors' public code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from .fitted import (
    FittedScore,
    check_channels,
    in_parts,
    labelled_rows,
    rows,
    unrows,
    warn_unseen,
)
from .logits import msp
from .samples import Samples, register_score

CHUNK = 2**22  # numbers of row sums that are held at a time


def gram_rows(x: Tensor, powers: Sequence[int]) -> Tensor:
    """Row sums of Gram matrices, (N, C) -> (N, P, C), float64.

    For each power p ``s_i |s_i|^(1/p - 1)`` with ``s_i = sum_j x_i^p x_j^p``,
    in the unit of x squared: the Gram matrix of order p (Eq. 2) of a single
    position, summed over its rows as in the authors' code, with a root that
    keeps the sign. No power overflows. Raises ValueError unless all powers are
    whole numbers >= 1.
    """
    _check_powers(powers)
    x = x.double()
    scale = x.abs().amax(1, keepdim=True)
    unit = x / scale.clamp(min=torch.finfo(x.dtype).tiny)
    sums = []
    for p in powers:
        total = (unit**p).sum(1, keepdim=True)
        root = total.sign() * total.abs() ** (1 / p)
        sums.append((unit if p % 2 else unit.abs()) * root)
    return torch.stack(sums, 1) * scale[:, None].square()


def gram_deviation(
    values: Tensor, minimum: Tensor, maximum: Tensor, eps: float = 1e-6
) -> Tensor:
    """Relative deviations from ranges, summed, (N, P, C) -> (N,), >= 0.

    ``(min - v) / |min|`` below the range, ``(v - max) / |max|`` above, 0 in
    it. A bound closer to 0 than ``eps`` counts as ``eps``
    (the authors add 1e-6 to the bound itself). The ranges are (N, P, C).
    """
    below = (minimum - values).clamp(min=0) / minimum.abs().clamp(min=eps)
    above = (values - maximum).clamp(min=0) / maximum.abs().clamp(min=eps)
    return (below + above).sum((1, 2))


def _check_powers(powers: Sequence[int]) -> None:
    if not len(powers) or any(p < 1 or p != int(p) for p in powers):
        raise ValueError(
            'powers must be whole numbers from 1 on, at least one, got '
            f'{list(powers)}'
        )


@register_score('gram', reads=('features', 'logits'), kinds=('softmax',))
class GramMatrices(FittedScore):
    """`gram_deviation` of `gram_rows` from the predicted class's ranges.

    The class is that of the largest logit. Maps are taken position by
    position. The ranges are those of the training samples
    of that class (``labels`` of `update`); a class without any has those of
    all samples, with a warning. With one layer the paper's division by the
    layer's expected deviation changes no order and is left out.

    ``by_confidence`` divides by the largest softmax probability, in [1/K,
    1], as the authors' public code does: of two samples that deviate alike
    the less certain one is more OOD. A sample within all ranges has 0 either
    way. The fit does not depend on it.

    Buffers ``minimum`` and ``maximum`` (K, P, C) and ``count`` (K,) of
    samples, float64.

    Raises ValueError for powers that are not whole numbers >= 1, `finish`
    if there is no sample.
    """

    minimum: Tensor
    maximum: Tensor
    count: Tensor

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        powers: Sequence[int] = range(1, 11),
        by_confidence: bool = True,
    ) -> None:
        super().__init__()
        _check_powers(powers)
        self.channels, self.num_classes = channels, num_classes
        self.by_confidence = by_confidence
        self.powers = tuple(map(int, powers))
        infinity = torch.full(
            (num_classes, len(powers), channels),
            float('inf'),
            dtype=torch.float64,
        )
        count = torch.zeros(num_classes, dtype=torch.float64)
        self.register_buffer('minimum', infinity)
        self.register_buffer('maximum', -infinity)
        self.register_buffer('count', count)

    def finish(self, classes: Sequence[str] | None = None) -> None:
        super().finish(classes)
        effect = 'it gets the ranges of all classes'
        warn_unseen(self, self.count, classes, effect)

    def _start(self) -> None:
        self.minimum.fill_(float('inf'))
        self.maximum.fill_(-float('inf'))
        self.count.zero_()

    def _add(
        self, samples: Samples, labels: Tensor, keys: Tensor | None
    ) -> None:
        x, labels = labelled_rows(
            samples.features, labels, self.channels, self.num_classes
        )
        for values, part in self._chunks(x, labels):
            for c in part.unique().tolist():
                own = values[part == c]
                low, high = self.minimum[c], self.maximum[c]
                torch.minimum(low, own.amin(0).to(low), out=low)
                torch.maximum(high, own.amax(0).to(high), out=high)
                self.count[c] += len(own)

    def _finish(self) -> None:
        all_reduce(self.count)
        all_reduce(self.minimum, 'min')
        all_reduce(self.maximum, 'max')
        self._check_any(self.count.sum())
        unseen = self.count == 0
        self.minimum[unseen] = self.minimum.amin(0)
        self.maximum[unseen] = self.maximum.amax(0)

    def _score(self, samples: Samples) -> Tensor:
        check_channels(samples.features, self.channels)
        check_channels(samples.logits, self.num_classes, 'logits')
        x = rows(samples.features)
        classes = samples.logits.argmax(1).flatten()
        parts = [
            gram_deviation(values, self.minimum[part], self.maximum[part])
            for values, part in self._chunks(x, classes)
        ]
        scores = unrows(torch.cat(parts), samples.features)
        if self.by_confidence:
            scores = scores / (1 - msp(samples.logits.double()))
        return scores

    def _chunks(
        self, x: Tensor, classes: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """`gram_rows` and classes of as many samples as memory allows."""
        size = max(1, CHUNK // (len(self.powers) * self.channels))
        for part, own in zip(in_parts(x, size), in_parts(classes, size)):
            yield gram_rows(part, self.powers), own
