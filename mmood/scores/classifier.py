"""The last layer of a model, for scores that look at its weights.

Shapes: N samples, K known classes, C feature channels, * any trailing shape
(none for boxes, H W for maps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import raised


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """``W f + b``, (N, C, *) -> (N, K, *): the logits of the known classes.

    weight (K, C), bias (K,). In float32 at least, under autocast too.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        x = raised(features).movedim(1, -1)
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(x, self.weight.to(x), self.bias.to(x))
        return logits.movedim(-1, 1)


def linear_of(
    layer: Any, num_classes: int | None = None
) -> LinearClassifier | None:
    """The first ``num_classes`` outputs of a layer, None: all of them.

    It shares the layer's memory, without gradient. None for a layer that
    `why_not_linear` refuses.
    """
    if why_not_linear(layer):
        return None
    weight = layer.weight.detach().flatten(1)[:num_classes]
    if layer.bias is None:
        return LinearClassifier(weight, weight.new_zeros(len(weight)))
    return LinearClassifier(weight, layer.bias.detach()[:num_classes])


def why_not_linear(layer: Any) -> str:
    """Why a layer is no `LinearClassifier`; empty if it is one.

    One is a plain `nn.Linear`, or an `nn.Conv2d` that looks at each pixel by
    itself. What is derived from them may compute something else.
    """
    kind: Any = type(layer)
    if kind.__module__.startswith('mmcv.cnn.'):
        kind = kind.__base__  # their layers differ for empty inputs alone
    if kind is nn.Linear:
        return ''
    if layer is None:
        return 'the head has no last layer for all classes'
    if kind is not nn.Conv2d:
        return f'the last layer is a {type(layer).__name__}, no nn.Linear'
    if layer.kernel_size != (1, 1) or layer.groups > 1:
        return (
            f'the last layer is a convolution of {layer.kernel_size} pixels '
            f'in {layer.groups} groups, not of one pixel in one'
        )
    return ''
