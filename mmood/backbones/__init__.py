"""Backbones for detectors and segmentors alike, and their weights."""

from .timm_backbone import TimmBackbone
from .weights import find_weights, fitting_state, read_state

__all__ = ['TimmBackbone', 'find_weights', 'fitting_state', 'read_state']
