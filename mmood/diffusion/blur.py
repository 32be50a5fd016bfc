"""Forward blurring of feature maps, the diffusion of DFDD (ICCV 2023).

Shapes: maps are (B, C, H, W), H, W >= 1. Time t counts from 0 (the map
itself) to T.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmood.ops import blur_separable, compose_kernels, gaussian_kernel1d


class BlurDiffusion:
    """``F_t = F_{t-1} * G(sigma_t)``, t = 1..T, without parameters (Eq. 3).

    sigma grows linearly from ``sigma_start`` to ``sigma_end`` pixels; for a
    single step it is ``sigma_end``. Raises ValueError if ``num_steps`` < 1,
    and as `gaussian_kernel1d` does.
    """

    def __init__(
        self,
        num_steps: int = 5,
        sigma_start: float = 0.1,
        sigma_end: float = 0.8,
        kernel_size: int = 5,
    ) -> None:
        if num_steps < 1:
            raise ValueError(f'num_steps must be at least 1, got {num_steps}')
        start = sigma_end if num_steps == 1 else sigma_start
        self.num_steps = num_steps
        self.sigmas = torch.linspace(start, sigma_end, num_steps).tolist()
        steps = [gaussian_kernel1d(s, kernel_size) for s in self.sigmas]
        self._steps = [compose_kernels([step]) for step in steps]
        # The paper's Eq. 4 adds the sigmas up. Variances of Gaussians add,
        # not deviations, and the sampled 5-tap kernels are no exact
        # Gaussians either: convolving them is right for both.
        self._composed = [
            compose_kernels(steps[:t]) for t in range(num_steps + 1)
        ]

    def forward_process(self, x: Tensor) -> list[Tensor]:
        """Blur step by step: (B, C, H, W) -> [F_0 = x, F_1, ..., F_T]."""
        maps = [x]
        for kernel in self._steps:
            maps.append(blur_separable(maps[-1], kernel))
        return maps

    def blur(self, x: Tensor, t: int) -> Tensor:
        """F_t in one separable filter, (B, C, H, W) -> the same (Eq. 4).

        Equal to ``forward_process(x)[t]`` within 1e-5 of the map's range,
        away from the border by the kernel's radius; at the border each step
        of the other continues its own edge values. Raises ValueError if
        ``t`` is not in 0..T.
        """
        if not 0 <= t <= self.num_steps:
            raise ValueError(f't must be in 0..{self.num_steps}, got {t}')
        return blur_separable(x, self._composed[t])

    def degrade(self, x: Tensor) -> Tensor:
        """The end of the forward process, F_T."""
        return self.blur(x, self.num_steps)
