"""Detector parts."""

from .ood_roi_head import OODRoIHead
from .ood_rpn_head import OODRPNHead

__all__ = ['OODRPNHead', 'OODRoIHead']
