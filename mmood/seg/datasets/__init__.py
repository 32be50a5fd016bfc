"""Datasets and transforms of semantic segmentation."""

from .benchmarks import (
    ADEOoDDataset,
    AnomalyTrackDataset,
    DLRSDDataset,
    FishyscapesDataset,
    FishyscapesLostAndFoundDataset,
    LostAndFoundNoKnownDataset,
    ObstacleTrackDataset,
    RoadAnomalyDataset,
    WDPascalDataset,
)
from .feature_cache import CorruptShardError, FeatureCache
from .feature_dataset import FeatureDataset
from .ood_seg import OODSegDataset, OriginSegDataset
from .smiyc_frames import SMIYCFramesDataset
from .training_sets import CamVidDataset, ShapesSegDataset, WHDLDDataset
from .transforms import LoadIDAnnotations, LoadOODAnnotations

__all__ = [
    'ADEOoDDataset',
    'AnomalyTrackDataset',
    'CamVidDataset',
    'CorruptShardError',
    'DLRSDDataset',
    'FeatureCache',
    'FeatureDataset',
    'FishyscapesDataset',
    'FishyscapesLostAndFoundDataset',
    'LoadIDAnnotations',
    'LoadOODAnnotations',
    'LostAndFoundNoKnownDataset',
    'OODSegDataset',
    'ObstacleTrackDataset',
    'OriginSegDataset',
    'RoadAnomalyDataset',
    'SMIYCFramesDataset',
    'ShapesSegDataset',
    'WDPascalDataset',
    'WHDLDDataset',
]
