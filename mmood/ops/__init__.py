"""Pure tensor functions that know neither a task nor a framework."""

from .blur import (
    apply_separable,
    filter_matrix,
    gaussian_blur2d,
    gaussian_kernel1d,
)

__all__ = [
    'apply_separable',
    'filter_matrix',
    'gaussian_blur2d',
    'gaussian_kernel1d',
]
