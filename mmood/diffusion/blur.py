"""Forward blurring of feature maps, the diffusion of DFDD (ICCV 2023).

Shapes: maps are (B, C, H, W), H, W >= 1. Time t counts from 0 (the map
itself) to T.
"""

from __future__ import annotations

from functools import lru_cache, reduce

import torch
from torch import Tensor

from mmood.ops import apply_separable, filter_matrix, gaussian_kernel1d


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
        self.kernel_size = kernel_size
        for sigma in (start, sigma_end):  # check the arguments now
            gaussian_kernel1d(sigma, kernel_size)

    def forward_process(self, x: Tensor) -> list[Tensor]:
        """Blur step by step: (B, C, H, W) -> [F_0 = x, F_1, ..., F_T]."""
        maps = [x]
        for sigma in self.sigmas:
            maps.append(self._filter(maps[-1], [sigma]))
        return maps

    def blur(self, x: Tensor, t: int) -> Tensor:
        """F_t in one separable filter, (B, C, H, W) -> the same (Eq. 4).

        Equal to ``forward_process(x)[t]`` within rounding. The paper's
        Eq. 4 adds the sigmas up; variances of Gaussians add, not deviations,
        and a kernel of five taps is no exact Gaussian either: the filters
        themselves are composed here. Raises ValueError if ``t`` is not in
        0..T.
        """
        if not 0 <= t <= self.num_steps:
            raise ValueError(f't must be in 0..{self.num_steps}, got {t}')
        return self._filter(x, self.sigmas[:t]) if t else x

    def degrade(self, x: Tensor, fixed: bool = False) -> Tensor:
        """The end of the forward process, F_T.

        ``fixed`` changes nothing: see `NoiseDiffusion.degrade`.
        """
        return self.blur(x, self.num_steps)

    def _filter(self, x: Tensor, sigmas: list[float]) -> Tensor:
        key = (tuple(sigmas), self.kernel_size, x.device, x.dtype)
        sizes = x.shape[-2:]
        # What a graph leaves open is no key of a cache.
        is_open = any(isinstance(size, torch.SymInt) for size in sizes)
        make = _composed.__wrapped__ if is_open else _composed
        return apply_separable(x, *(make(size, *key) for size in sizes))


@lru_cache(maxsize=1024)
@torch.inference_mode(False)  # what it keeps serves a backward pass too
def _composed(
    size: int,
    sigmas: tuple[float, ...],
    kernel_size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """All the filters of an axis of ``size`` samples as one matrix."""
    steps = [
        filter_matrix(gaussian_kernel1d(sigma, kernel_size), size)
        for sigma in reversed(sigmas)
    ]
    matrix = reduce(torch.matmul, steps)
    # Far taps would become float32 denormals, which slow a product down
    # twentyfold.
    return matrix.masked_fill(matrix < 1e-12, 0).to(device, dtype)
