"""Necks that put a diffusion between a feature pyramid and its heads."""

from .dfdd_neck import DFDDNeck, DiffusedPyramid

__all__ = ['DFDDNeck', 'DiffusedPyramid']
