"""Segmentor parts."""

from .data_preprocessor import OODSegDataPreProcessor
from .distilled_vit import DistilledVisionTransformer
from .dood_head import DOoDHead
from .feature_probe import FeatureProbe
from .ood_segmentor import OODEncoderDecoder

__all__ = [
    'DOoDHead',
    'DistilledVisionTransformer',
    'FeatureProbe',
    'OODEncoderDecoder',
    'OODSegDataPreProcessor',
]
