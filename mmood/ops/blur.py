"""Gaussian blur of feature maps.

Shapes: B images, C channels, H x W pixels, k taps. Outside the map its edge
values go on (replicate), so that a constant map stays what it is at any size.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_kernel1d(sigma: float, kernel_size: int = 5) -> Tensor:
    """Sampled Gaussian ``exp(-i^2 / 2 sigma^2)``, (k,), float64, sum 1.

    ``sigma`` is in pixels. Source: DFDD (ICCV 2023), Eq. 3, whose 2-d kernel
    is the outer product of this one with itself.
    Raises ValueError if ``sigma`` is not at least 1e-6 (below, its square
    underflows) or ``kernel_size`` is not a positive odd number.
    """
    if not sigma >= 1e-6:
        raise ValueError(f'sigma must be positive, got {sigma}')
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f'kernel_size must be odd and positive, got {kernel_size}'
        )
    radius = kernel_size // 2
    taps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(taps**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def compose_kernels(kernels: Iterable[Tensor], tail: float = 1e-7) -> Tensor:
    """Convolve odd 1-d kernels into one, (k_1,), (k_2,), ... -> (k,), sum 1.

    The kernels must be symmetric. Outer taps are dropped while their mass
    stays within ``tail``, which bounds the error of the filtered map by
    ``4 tail max|x|`` (two axes, and what is left is scaled back to sum 1).
    """
    composed = torch.ones(1, dtype=torch.float64)
    for kernel in kernels:
        pad = len(kernel) - 1
        composed = F.conv1d(
            composed[None, None], kernel.flip(0)[None, None], padding=pad
        )[0, 0]
    mass = torch.cumsum(composed, 0)
    cut = min(int((mass <= tail / 2).sum()), len(composed) // 2)
    composed = composed[cut : len(composed) - cut]
    return composed / composed.sum()


def blur_separable(x: Tensor, kernel: Tensor) -> Tensor:
    """Filter rows, then columns, with one kernel: (B, C, H, W) -> the same.

    Works for every H, W >= 1 and for empty batches; differentiable.
    Raises ValueError if ``x`` is not 4-dimensional.
    """
    if x.dim() != 4:
        raise ValueError(f'x must be (B, C, H, W), got {tuple(x.shape)}')
    channels, radius = x.shape[1], len(kernel) // 2
    if x.numel() == 0 or radius == 0:
        return x.clone()
    weight = kernel.to(x).expand(channels, 1, -1)
    x = F.pad(x, (radius, radius, radius, radius), mode='replicate')
    x = F.conv2d(x, weight[:, :, None, :], groups=channels)
    return F.conv2d(x, weight[:, :, :, None], groups=channels)


def gaussian_blur2d(x: Tensor, sigma: float, kernel_size: int = 5) -> Tensor:
    """Blur maps with a ``kernel_size``-square Gaussian, (B, C, H, W).

    ``sigma`` in pixels. Source: DFDD (ICCV 2023), Eq. 3. Raises ValueError
    as `gaussian_kernel1d` and `blur_separable` do.
    """
    return blur_separable(x, gaussian_kernel1d(sigma, kernel_size))
