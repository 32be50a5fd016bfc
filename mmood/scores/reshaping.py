"""Scores of the logits of features that are pruned or scaled.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
boxes, H W for maps). Higher is more OOD. The formulas are for features that
are not negative, as behind a ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmood.ops import raised

from .derived import DerivedScore, check_percentile, with_features
from .samples import Samples, ScoreConfig, register_score

# The papers' for ResNet-50 on ImageNet.
ASH_PERCENTILES = dict(S=90.0, P=60.0, B=65.0)
SCALE_PERCENTILE = 85.0
MAX_RATIO = 80.0  # exp(88) is the largest number of float32


def ash(x: Tensor, percentile: float = 90.0, kind: str = 'S') -> Tensor:
    """Features without all but the largest, (N, C, *) -> the same.

    Of the C channels of a sample the n = C - round(C percentile / 100)
    largest stay, at least one, of equal ones those of the first channels,
    the others become 0. Then with ``kind``
    ``'P'`` nothing more is done; ``'S'`` multiplies by ``exp(s_1 / s_2)``,
    s_1 and s_2 the sums before and after; ``'B'`` makes each of those that
    stay ``s_1 / n``. Source: Djurisic et al., "Extremely Simple Activation
    Shaping for Out-of-Distribution Detection", ICLR 2023.

    Features with negative values are pruned from the lowest on; see `scale`
    for their sums. Raises ValueError for a ``percentile`` outside of
    [0, 100) or an unknown ``kind``.
    """
    check_percentile(percentile)
    if kind not in ASH_PERCENTILES:
        raise ValueError(
            f'kind must be one of {tuple(ASH_PERCENTILES)}, got {kind!r}'
        )
    x = raised(x)
    if kind == 'B':
        # Behind a ReLU 0 is often among the largest: topk takes any of them.
        order = x.sort(dim=1, descending=True, stable=True).indices
        places = order[:, : _count(x, percentile)]
        share = x.sum(1, keepdim=True) / max(1, places.shape[1])
        values = share.expand_as(places)
    else:
        values, places = _largest(x, percentile)
        if kind == 'S':
            values = values * _ratio(x, values).exp()
    return torch.zeros_like(x).scatter(1, places, values)


def scale(x: Tensor, percentile: float = SCALE_PERCENTILE) -> Tensor:
    """``exp(s_1 / s_2) x``, (N, C, *) -> the same.

    s_1 is a sample's sum over the C channels, s_2 that over those which
    `ash` would leave. Source: Xu et al., "Scaling for Training Time and
    Post-hoc Out-of-distribution Detection Enhancement", ICLR 2024.

    The ratio is at most 1 / (1 - percentile / 100) for features that are
    not negative. It counts as 1 where s_2 <= 0, as of a sample that is all
    0, and as 80 above, where float32 would end. Features of both signs may
    have any ratio, also below 0: the papers say nothing of them. Raises
    ValueError for a ``percentile`` outside of [0, 100).
    """
    check_percentile(percentile)
    x = raised(x)
    values, _ = _largest(x, percentile)
    return x * _ratio(x, values).exp()


def _largest(x: Tensor, percentile: float) -> tuple[Tensor, Tensor]:
    """Values (N, n, *) and places of what stays."""
    return x.topk(_count(x, percentile), 1, sorted=False)


def _count(x: Tensor, percentile: float) -> int:
    """n, how many of the C channels stay."""
    channels = x.shape[1]
    count = max(1, channels - round(channels * percentile / 100))
    return min(count, channels)


def _ratio(x: Tensor, values: Tensor) -> Tensor:
    """``s_1 / s_2``, (N, 1, *)."""
    total, kept = (part.sum(1, keepdim=True) for part in (x, values))
    ratio = torch.where(kept > 0, total / kept, 1.0)
    return ratio.clamp(max=MAX_RATIO)


class _Reshaped(DerivedScore):
    """A score of logits that stateless `changed` makes."""

    def __call__(self, samples: Samples) -> Tensor:
        return self._score(samples)


@register_score('ash', reads=('features', 'classifier'))
class ASH(_Reshaped):
    """The inner ``score`` of the logits that `ash` leaves.

    ``percentile`` None: the paper's for ResNet-50 on ImageNet, 90, 60 and 65
    for the ``kind`` S, P and B. Raises ValueError as `ash` does, and for a
    score that reads anything but logits, features and classifier.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        score: ScoreConfig = 'energy',
        kind: str = 'S',
        percentile: float | None = None,
    ) -> None:
        if percentile is None:
            percentile = ASH_PERCENTILES.get(kind, 0.0)
        ash(torch.zeros(0, 1), percentile, kind)  # refuses what is wrong
        self.kind, self.percentile = kind, percentile
        self._derive(score, channels=channels, num_classes=num_classes)

    def changed(self, samples: Samples) -> Samples:
        features = ash(samples.features, self.percentile, self.kind)
        return with_features(samples, features)


@register_score('scale', reads=('features', 'classifier'))
class Scale(_Reshaped):
    """The inner ``score`` of the logits of features that `scale` made.

    Raises ValueError as `scale` does, and for a score that reads anything
    but logits, features and classifier.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        score: ScoreConfig = 'energy',
        percentile: float = SCALE_PERCENTILE,
    ) -> None:
        self.percentile = check_percentile(percentile)
        self._derive(score, channels=channels, num_classes=num_classes)

    def changed(self, samples: Samples) -> Samples:
        features = scale(samples.features, self.percentile)
        return with_features(samples, features)
