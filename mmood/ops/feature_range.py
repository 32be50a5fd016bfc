"""Running range of features, and their normalization by it.

Shapes: N vectors, C channels, * any trailing shape.
"""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn


class FeatureRange(nn.Module):
    """Map features to about [-1, 1] by the extremes seen in training.

    ``(x - (max + min) / 2) / s`` with each channel's own minimum and maximum
    and s the largest half range of all channels, so that all channels keep
    their relative spread; with ``per_channel`` each has its own s. Without
    any spread s is 1. Features beyond the extremes seen leave [-1, 1];
    nothing is clipped.

    Buffers ``minimum`` and ``maximum`` (C,), the same on all ranks.
    Source: DOoD (ECCV 2024), Sec. 5.2, and its public checkpoints.
    """

    minimum: Tensor
    maximum: Tensor
    exact_buffers = ('minimum', 'maximum')

    def __init__(self, channels: int, per_channel: bool = False) -> None:
        super().__init__()
        self.per_channel = per_channel
        infinity = torch.full((channels,), float('inf'))
        self.register_buffer('minimum', infinity)
        self.register_buffer('maximum', -infinity)
        self._is_known = False  # so that the device is asked only once

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Widen the range by vectors (N, C) of this and all other ranks.

        A collective call: every rank makes it, even with N = 0. Raises
        ValueError, on all ranks, for values that are not finite; the range
        stays as it was.
        """
        minimum, maximum = self.minimum.clone(), self.maximum.clone()
        finite = torch.isfinite(x).flatten(1).all(1)
        bad = (~finite).sum()
        all_reduce(bad)
        if bad:
            raise ValueError(
                f'{int(bad)} feature vectors for the range are nan or '
                'infinite: the network that makes them diverges or its '
                'checkpoint is broken'
            )
        if len(x):
            minimum = torch.minimum(minimum, x.amin(0).to(minimum))
            maximum = torch.maximum(maximum, x.amax(0).to(maximum))
        all_reduce(minimum, 'min')
        all_reduce(maximum, 'max')
        self.minimum.copy_(minimum)
        self.maximum.copy_(maximum)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, *) -> the same.

        Raises RuntimeError if no feature was seen yet.
        """
        half = (self.maximum - self.minimum) / 2
        self._is_known = self._is_known or bool(torch.isfinite(half).all())
        if not self._is_known:
            raise RuntimeError(
                'the range of the features is unknown: train the diffusion '
                'model or load its checkpoint before it is used'
            )
        scale = half if self.per_channel else half.amax()
        shape = (-1, *[1] * (x.dim() - 2))
        shift = (self.maximum + self.minimum) / 2
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        return (x - shift.view(shape)) / scale.view(
            shape if self.per_channel else ()
        )

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_known = False
