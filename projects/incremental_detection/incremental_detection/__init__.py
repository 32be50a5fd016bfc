"""Incremental detection: classes come in steps."""

from .detector import IncrementalFasterRCNN
from .distiller import Distiller
from .warp_hook import WarpGradientHook

__all__ = [
    'Distiller',
    'IncrementalFasterRCNN',
    'WarpGradientHook',
]
