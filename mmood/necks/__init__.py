"""Necks that put a diffusion between a feature pyramid and its heads."""

from .dfdd_neck import DFDDNeck
from .pyramid import Pyramid, collect_losses

__all__ = ['DFDDNeck', 'Pyramid', 'collect_losses']
