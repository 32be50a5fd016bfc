"""Detector parts."""

from .attention import AttentionDeformableDETR, AttentionPseudoUnknown
from .growing_linear import GrowingLinear
from .ood_head import OODHead
from .ood_rpn_head import OODRPNHead
from .open_set_roi_head import OpenSetRoIHead
from .pseudo_unknown import PseudoUnknownBBoxHead, PseudoUnknownC4BBoxHead
from .roi_heads import OODCascadeRoIHead, OODRoIHead
from .tta import OODDetTTAModel

__all__ = [
    'AttentionDeformableDETR',
    'AttentionPseudoUnknown',
    'GrowingLinear',
    'OODCascadeRoIHead',
    'OODDetTTAModel',
    'OODHead',
    'OODRPNHead',
    'OODRoIHead',
    'OpenSetRoIHead',
    'PseudoUnknownBBoxHead',
    'PseudoUnknownC4BBoxHead',
]
