"""Segmentor parts."""

from .data_preprocessor import OODSegDataPreProcessor
from .distilled_vit import DistilledVisionTransformer
from .feature_probe import FeatureProbe
from .ood_segmentor import OODEncoderDecoder
from .tta import OODSegTTAModel

__all__ = [
    'DistilledVisionTransformer',
    'FeatureProbe',
    'OODEncoderDecoder',
    'OODSegDataPreProcessor',
    'OODSegTTAModel',
]
