"""The convolutional network that predicts what a diffusion step took away.

Shapes: B maps, C channels, H x W pixels, w inner channels, T steps.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvUNet(nn.Module):
    """Three encoder and three decoder convolutions, (B, C, H, W) -> same.

    The outer pair is 1 x 1 at full size, the middle pair 3 x 3 at half and
    full size, the inner pair 3 x 3 at a quarter and half size; skips are
    added. That keeps fine detail, which is what has to be predicted, at a
    tenth of the cost of 3 x 3 convolutions over all channels. The step's
    learned embedding is added after the first convolution. The last layer
    starts at zero: nothing is predicted before training. Any H, W >= 1.

    DFDD (ICCV 2023), Sec. 4.2 and 6.1, says "three convolutional layers"
    each; width, strides and embedding are choices made here.
    Raises ValueError for a wrong number of channels or a step not in 1..T.
    """

    def __init__(
        self, channels: int, num_steps: int, width: int | None = None
    ) -> None:
        super().__init__()
        width = width or max(channels // 8, 16)
        self.channels, self.num_steps = channels, num_steps
        self.time = nn.Embedding(num_steps, width)
        self.encoder = nn.ModuleList(
            [
                nn.Conv2d(channels, width, 1),
                nn.Conv2d(width, width, 3, stride=2, padding=1),
                nn.Conv2d(width, width, 3, stride=2, padding=1),
            ]
        )
        decoder = [
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, channels, 1),
        ]
        for parameter in decoder[-1].parameters():
            nn.init.zeros_(parameter)
        self.decoder = nn.ModuleList(decoder)

    def forward(self, x: Tensor, t: int) -> Tensor:
        if x.dim() != 4 or x.shape[1] != self.channels:
            raise ValueError(
                f'x must be (B, {self.channels}, H, W), got {tuple(x.shape)}'
            )
        if not 1 <= t <= self.num_steps:
            raise ValueError(f't must be in 1..{self.num_steps}, got {t}')
        time = self.time.weight[t - 1][:, None, None]
        full = F.silu(self.encoder[0](x) + time)
        half = F.silu(self.encoder[1](full))
        quarter = F.silu(self.encoder[2](half))
        half = F.silu(self.decoder[0](half + _resize(quarter, half)))
        full = F.silu(self.decoder[1](full + _resize(half, full)))
        return self.decoder[2](full)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode='nearest')
