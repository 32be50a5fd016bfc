"""Detector parts."""

from .ood_rpn_head import OODRPNHead
from .roi_heads import OODCascadeRoIHead, OODRoIHead

__all__ = ['OODCascadeRoIHead', 'OODRPNHead', 'OODRoIHead']
