"""Pure tensor functions that know neither a task nor a framework."""

from .blur import (
    blur_separable,
    compose_kernels,
    gaussian_blur2d,
    gaussian_kernel1d,
)

__all__ = [
    'blur_separable',
    'compose_kernels',
    'gaussian_blur2d',
    'gaussian_kernel1d',
]
