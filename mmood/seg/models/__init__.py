"""Segmentor parts."""

from .data_preprocessor import OODSegDataPreProcessor
from .distilled_vit import DistilledVisionTransformer
from .feature_probe import FeatureProbe
from .gmmseg_head import GMMSegHead
from .ood_segmentor import OODEncoderDecoder
from .tta import OODSegTTAModel

__all__ = [
    'DistilledVisionTransformer',
    'FeatureProbe',
    'GMMSegHead',
    'OODEncoderDecoder',
    'OODSegDataPreProcessor',
    'OODSegTTAModel',
]
