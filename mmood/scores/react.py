"""Scores of the logits of features that are cut at a common height.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
boxes, H W for maps). Higher is more OOD.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmood.ops import Reservoir, raised

from .derived import FittedDerived, check_percentile, with_features
from .fitted import check_channels, rows
from .samples import Samples, ScoreConfig, register_score


@register_score('react', reads=('features', 'classifier'))
class ReAct(FittedDerived):
    """The inner ``score`` of the logits of features ``min(f, c)``.

    c is the percentile of all values that ID training features have, over
    samples and channels together. Features with negative values are cut at
    the top alone. Source: Sun et al., "ReAct: Out-of-distribution Detection
    With Rectified Activations", NeurIPS 2021; its percentile is 90.

    It is that of a random sample of ``sample_size`` training samples, whose
    values are held during the fit, and exact if there are no more. An inner
    `DICE` is fitted in the same pass, on features that are not cut, as in
    its authors' code.

    Buffers: ``limit``, c, and ``fitted_percentile``. Raises ValueError for a
    ``percentile`` outside of [0, 100) and for a score that reads anything
    but logits, features and classifier, `finish` if there is no sample; the
    score raises RuntimeError if it was fitted for another percentile.
    """

    limit: Tensor
    fitted_percentile: Tensor

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        score: ScoreConfig = 'energy',
        percentile: float = 90.0,
        sample_size: int = 5000,
    ) -> None:
        super().__init__()
        self.percentile = check_percentile(percentile)
        self.channels, self.sample_size = channels, sample_size
        self._start()  # refuses a wrong sample_size
        self._derive(score, channels=channels, num_classes=num_classes)
        self.register_buffer('limit', torch.tensor(torch.inf))
        none = torch.tensor(torch.nan, dtype=torch.float64)
        self.register_buffer('fitted_percentile', none)

    def changed(self, samples: Samples) -> Samples:
        if float(self.fitted_percentile) != self.percentile:
            raise RuntimeError(
                'ReAct was fitted for the percentile '
                f'{float(self.fitted_percentile):g}, not {self.percentile:g}: '
                'run tools/fit_scores.py with this config'
            )
        features = raised(samples.features)
        limit = self.limit.to(features)
        return with_features(samples, features.minimum(limit))

    def _start(self) -> None:
        self._sample = Reservoir(self.sample_size)

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        check_channels(samples.features, self.channels)
        keys = None if keys is None else keys.flatten()
        self._sample.add(rows(samples.features), keys)

    def _finish(self) -> None:
        values = self._sample.merge().cpu().numpy()
        self._check_any(values.size)
        self.limit.fill_(float(np.percentile(values, self.percentile)))
        self.fitted_percentile.fill_(self.percentile)
        self._start()
