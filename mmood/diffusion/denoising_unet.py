"""The convolutional counterpart of `DenoisingMLP`, for DOoD's Fig. 5.

Shapes: B maps, C channels, H x W pixels. Time t counts from 0.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from mmood.registry import MODELS

from .mlp import ResidualDenoiser


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


@MODELS.register_module()
class DenoisingUNet(ResidualDenoiser):
    """`DenoisingMLP` on maps, (B, C, H, W) and t -> noise (B, C, H, W).

    Every linear layer is a 3 x 3 convolution, but for the skips of the
    output blocks: wider ones would spread the noise, which is to be named at
    its place, over the neighbours at every level. The input blocks are three
    levels, the map halved (average of 2 x 2 pixels, rounded up) between
    them, and the output blocks go back up by nearest neighbours; any
    H, W >= 1. It sees around a feature, which is its point here: DOoD
    (ECCV 2024, Sec. 6.3, Fig. 5) compares the receptive fields. The paper
    does not give its U-Net; these blocks differ in nothing else. Eight to
    nine times the weights. Same arguments as `DenoisingMLP`; raises
    ValueError also for ``num_blocks`` < 3.
    """

    dims = 4
    layer = staticmethod(_convolution)
    projection = staticmethod(partial(nn.Conv2d, kernel_size=1))

    def __init__(
        self, channels: int, *, num_blocks: int = 6, **kwargs
    ) -> None:
        if num_blocks < 3:
            raise ValueError(
                f'num_blocks must be at least 3, one per level, got '
                f'{num_blocks}'
            )
        super().__init__(channels, num_blocks=num_blocks, **kwargs)
        # A third of the blocks per level, the first level may have one more.
        self._shrinks = {-(-num_blocks // 3), -(-2 * num_blocks // 3)}

    def _shrink(self, x: Tensor, i: int) -> Tensor:
        if i not in self._shrinks:
            return x
        return F.avg_pool2d(x, 2, ceil_mode=True)

    def _grow(self, x: Tensor, skip: Tensor) -> Tensor:
        if x.shape == skip.shape:
            return x
        return F.interpolate(x, size=skip.shape[-2:], mode='nearest')
