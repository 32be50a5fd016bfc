"""Detector parts."""

from .ood_head import OODHead
from .ood_rpn_head import OODRPNHead
from .roi_heads import OODCascadeRoIHead, OODRoIHead

__all__ = ['OODCascadeRoIHead', 'OODHead', 'OODRPNHead', 'OODRoIHead']
