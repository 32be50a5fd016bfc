"""Incremental detection: classes come in steps."""

from .detector import IncrementalFasterRCNN
from .distiller import Distiller
from .growing_linear import GrowingLinear
from .warp_hook import WarpGradientHook

__all__ = [
    'Distiller',
    'GrowingLinear',
    'IncrementalFasterRCNN',
    'WarpGradientHook',
]
