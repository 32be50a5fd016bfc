"""Backbones for detectors and segmentors alike, and their weights."""

from .efficientnet_lite import EfficientNetLite
from .frozen import FrozenBackbone
from .timm_backbone import TimmBackbone
from .weights import find_weights, fitting_state, read_state

__all__ = [
    'EfficientNetLite',
    'FrozenBackbone',
    'TimmBackbone',
    'find_weights',
    'fitting_state',
    'read_state',
]
