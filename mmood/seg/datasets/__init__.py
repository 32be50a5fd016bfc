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
from .paste_outliers import PasteOutliers
from .smiyc_frames import SMIYCFramesDataset
from .training_sets import CamVidDataset, ShapesSegDataset, WHDLDDataset
from .transforms import LoadIDAnnotations, LoadOODAnnotations
from .visits import EpochSampler, InfiniteEpochSampler, Visit

__all__ = [
    'ADEOoDDataset',
    'AnomalyTrackDataset',
    'CamVidDataset',
    'CorruptShardError',
    'DLRSDDataset',
    'EpochSampler',
    'FeatureCache',
    'FeatureDataset',
    'FishyscapesDataset',
    'FishyscapesLostAndFoundDataset',
    'InfiniteEpochSampler',
    'LoadIDAnnotations',
    'LoadOODAnnotations',
    'LostAndFoundNoKnownDataset',
    'OODSegDataset',
    'ObstacleTrackDataset',
    'OriginSegDataset',
    'PasteOutliers',
    'RoadAnomalyDataset',
    'SMIYCFramesDataset',
    'ShapesSegDataset',
    'Visit',
    'WDPascalDataset',
    'WHDLDDataset',
]
