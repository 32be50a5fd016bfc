"""Dropout sampling: the mean of a classifier with many fixed dropouts.

Shapes: N boxes, C features, S samples, M classes and background.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.registry import MODELS


@MODELS.register_module()
class DropoutSamplingLinear(nn.Linear):
    """``log mean_s softmax(W (m_s * f) / (1 - p) + b)``, (N, C) -> (N, M).

    Of S fixed masks m_s, each entry 1 with probability 1 - p; so softmax
    gives back the mean of the S distributions, whose entropy is high where
    they disagree. In training the logits of usual dropout. Source: Miller et
    al., "Dropout Sampling for Robust Object Detection in Open-Set
    Conditions", ICRA 2018, Eq. 2, where the masks are drawn for each image,
    and all of the detector behind them runs S times.

    The box head's classifier with ``cls_predictor_cfg=dict(
    type='mmood.DropoutSamplingLinear')``. The buffer ``masks`` (S, C) is drawn
    from ``seed``: tests repeat, and processes agree. Raises ValueError for
    ``p`` outside of [0, 1) and for less than one sample.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        p: float = 0.5,
        samples: int = 30,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(in_features, out_features, **kwargs)
        if not 0 <= p < 1:
            raise ValueError(f'p must be in [0, 1), got {p}')
        if samples < 1:
            raise ValueError(f'samples must be at least 1, got {samples}')
        self.p, self.samples = p, samples
        generator = torch.Generator().manual_seed(seed)
        kept = torch.full((samples, in_features), 1 - p)
        masks = torch.bernoulli(kept, generator=generator)
        self.register_buffer('masks', masks)

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            return super().forward(F.dropout(features, self.p))
        with torch.autocast(features.device.type, enabled=False):
            # A mask on the features is one on the columns of the weight.
            scaled = self.masks[:, None] / (1 - self.p) * self.weight
            x = features.to(self.weight) @ scaled.flatten(0, 1).T
            logits = x.view(-1, self.samples, self.out_features)
            if self.bias is not None:
                logits = logits + self.bias
            total = logits.log_softmax(2).logsumexp(1)
            return total - math.log(self.samples)
