"""Detector parts."""

from .ood_head import OODHead
from .ood_rpn_head import OODRPNHead
from .roi_heads import OODCascadeRoIHead, OODRoIHead
from .tta import OODDetTTAModel

__all__ = [
    'OODCascadeRoIHead',
    'OODDetTTAModel',
    'OODHead',
    'OODRPNHead',
    'OODRoIHead',
]
