"""Tensor functions and statistics that know neither task nor framework."""

from .blur import (
    apply_separable,
    filter_matrix,
    gaussian_blur2d,
    gaussian_kernel1d,
)
from .feature_range import FeatureRange
from .shuffle_buffer import ShuffleBuffer

__all__ = [
    'FeatureRange',
    'ShuffleBuffer',
    'apply_separable',
    'filter_matrix',
    'gaussian_blur2d',
    'gaussian_kernel1d',
]
