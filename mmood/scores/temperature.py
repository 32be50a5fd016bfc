"""Scores of logits at the temperature that fits ID validation labels.

Shapes: N samples, n of them in the fit, K classes, * any trailing shape
(none for boxes, H W for maps). Higher is more OOD.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmood.ops import Reservoir, raised

from .derived import FittedDerived
from .fitted import labelled_rows
from .samples import Samples, ScoreConfig, register_score

LIMITS = 1e-3, 1e3


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T with the least mean ``-log softmax(z / T)_y``, in LIMITS.

    Logits (n, K), labels y (n,). The loss is convex in 1 / T, whose
    derivative is ``mean(sum_k p_k z_k - z_y)``; its root is found by
    halving, in float64. Source: Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017, Sec. 4.2. Raises ValueError if there is no minimum:
    without a sample, if each label has the largest logit, or if the labels'
    logits are on average no larger than those of all classes.
    """
    z = logits.double()
    own = z.gather(1, labels[:, None])[:, 0].mean() if len(z) else 0.0

    def slope(inverse: float) -> float:
        p = (z * inverse).softmax(1)
        return float((p * z).sum(1).mean() - own)

    low, high = (1 / limit for limit in reversed(LIMITS))
    if not len(z) or not slope(low) < 0 < slope(high):
        raise ValueError(
            f'no temperature fits {len(z)} ID validation samples: the model '
            'must classify some of them wrongly and, on average, do better '
            'than chance; check the annotations of the validation images'
        )
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / low


@register_score('temperature', kinds=('softmax',))
class Temperature(FittedDerived):
    """The inner ``score`` of logits z / T, with T by `fit_temperature`.

    T is fitted on labelled ID validation samples, those that are classified
    wrongly included, on a random sample of ``sample_size``. The order of
    samples by ``max_logit`` is the same at any T.

    Buffer ``temperature``, float64. Raises ValueError for one class, and for
    a score that reads anything but logits, `finish` as `fit_temperature`.
    """

    temperature: Tensor
    gives = ('logits',)
    fitted_on = 'validation'

    def __init__(
        self,
        num_classes: int,
        *,
        score: ScoreConfig = 'msp',
        sample_size: int = 10_000,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(
                'one class has probability 1 at any temperature: take '
                "'energy' or 'max_logit'"
            )
        self.num_classes, self.sample_size = num_classes, sample_size
        self._start()  # refuses a wrong sample_size
        self._derive(score, num_classes=num_classes)
        one = torch.tensor(1.0, dtype=torch.float64)
        self.register_buffer('temperature', one)

    def vectors(self, samples: Samples) -> Tensor:
        return samples.logits

    def changed(self, samples: Samples) -> Samples:
        logits = raised(samples.logits)
        return replace(samples, logits=logits / self.temperature.to(logits))

    def _start(self) -> None:
        self._sample = Reservoir(self.sample_size)

    def _add(
        self, samples: Samples, labels: Tensor, keys: Tensor | None
    ) -> None:
        sizes = (self.num_classes,) * 2
        z, labels = labelled_rows(samples.logits, labels, *sizes, 'logits')
        keys = None if keys is None else keys.flatten()
        self._sample.add(torch.cat([raised(z), labels[:, None]], 1), keys)

    def _finish(self) -> None:
        found = self._sample.merge().reshape(-1, self.num_classes + 1)
        labels = found[:, -1].long()
        self.temperature.fill_(fit_temperature(found[:, :-1], labels))
        self._start()
