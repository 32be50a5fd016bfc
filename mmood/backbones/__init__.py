"""Backbones for detectors and segmentors alike."""

from .frozen import FrozenBackbone

__all__ = ['FrozenBackbone']
