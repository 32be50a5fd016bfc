"""Detector parts."""

from .ood_roi_head import OODRoIHead

__all__ = ['OODRoIHead']
