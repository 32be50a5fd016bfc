"""How near a sample is to the boundaries between classes.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
RoIs, H W for maps). Higher is more OOD.
Source: Liu and Qin, "Fast Decision Boundary based Out-of-Distribution
Detector", ICML 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmood.ops import raised

from .class_means import FitsMean
from .fitted import FittedScore, check_channels, rows, unrows
from .samples import Samples, register_score

SHORTEST = 1e-12  # distance from the mean that counts


def fdbd(
    logits: Tensor, features: Tensor, weight: Tensor, mean: Tensor
) -> Tensor:
    """Mean distance to the boundaries, over that to the mean, (N, *), <= 0.

    ``-1 / (K - 1) sum_{c != y} (z_y - z_c) / |w_y - w_c| / |x - m|`` with
    the predicted class y, logits z (N, K, *) and features x (N, C, *). Of a
    linear classifier with the ``weight`` (K, C) the quotient is the distance
    in feature space to where z_y = z_c. m (C,) is the mean of the training
    features: the boundaries of what is far from it are far as well. Classes
    with the same weights have no boundary and add 0. Without unit. Raises
    ValueError for K < 2.
    """
    if len(weight) < 2:
        raise ValueError(
            'fdbd is of the boundaries between classes, and there is one: '
            'take a score of features, such as mahalanobis'
        )
    z, x = rows(raised(logits)), rows(raised(features))
    weight = weight.to(z)
    largest, predicted = z.max(1)
    exact = 'donot_use_mm_for_euclid_dist'  # 0 for equal weights
    lengths = torch.cdist(weight, weight, compute_mode=exact)[predicted]
    gaps = (largest[:, None] - z) / lengths.where(lengths > 0, torch.inf)
    spread = torch.linalg.vector_norm(x - mean.to(x), dim=1)
    spread = spread.where(spread < torch.inf, torch.nan)  # else it says 0
    distance = gaps.sum(1) / (len(weight) - 1)
    return unrows(-distance / spread.clamp(min=SHORTEST), features)


@register_score(
    'fdbd', reads=('features', 'logits', 'classifier'), kinds=('softmax',)
)
class FDBD(FitsMean, FittedScore):
    """`fdbd` with the classifier's weights and the mean training feature.

    There is nothing to choose. Buffer ``mean`` (C,), float64. Raises
    ValueError for fewer than two classes, `finish` if there is no sample.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(
                'fdbd is of the boundaries between classes, got num_classes='
                f'{num_classes}: take a score of features, such as mahalanobis'
            )
        self._make_mean(channels)

    def _score(self, samples: Samples) -> Tensor:
        weight = samples.classifier.weight
        for part in (samples.features, weight):
            check_channels(part, self.channels)
        return fdbd(samples.logits, samples.features, weight, self.mean)
