"""Scores of the logits that a classifier's most important weights make.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
boxes, H W for maps). Higher is more OOD.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .class_means import FitsMean
from .classifier import LinearClassifier
from .derived import FittedDerived, check_percentile, with_classifier
from .fitted import check_channels
from .samples import Samples, ScoreConfig, register_score


def largest_contributions(
    weight: Tensor, mean: Tensor, percentile: float
) -> Tensor:
    """Mask (K, C) of weights whose ``w_kc m_c`` exceeds the percentile.

    Of all K C of them together, m (C,) the mean features; at 0 all stay.
    Source: Sun and Li, "DICE: Leveraging Sparsification for
    Out-of-Distribution Detection", ECCV 2022; as in the authors' code the
    percentile is linear between neighbours and not part of what stays.
    Raises ValueError for a ``percentile`` outside of [0, 100).
    """
    if check_percentile(percentile) == 0:
        return torch.ones_like(weight, dtype=torch.bool)
    contributions = weight.double() * mean.to(weight.device).double()
    return contributions > contributions.quantile(percentile / 100)


@register_score('dice', reads=('features', 'classifier'))
class DICE(FitsMean, FittedDerived):
    """The inner ``score`` of logits without `largest_contributions`' rest.

    The mean is that of ID training features. Features may have any sign.
    The authors' percentile is 90 for CIFAR and 70 for ImageNet.

    Buffer ``mean`` (C,), float64. Raises ValueError for a ``percentile``
    outside of [0, 100) and for a score that reads anything but logits,
    features and classifier, `finish` if there is no sample.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        score: ScoreConfig = 'energy',
        percentile: float = 90.0,
    ) -> None:
        super().__init__()
        self.percentile = check_percentile(percentile)
        self._derive(score, channels=channels, num_classes=num_classes)
        self._make_mean(channels)

    def changed(self, samples: Samples) -> Samples:
        weight, bias = samples.classifier.weight, samples.classifier.bias
        check_channels(samples.features, self.channels)
        mask = largest_contributions(weight, self.mean, self.percentile)
        return with_classifier(samples, LinearClassifier(weight * mask, bias))
