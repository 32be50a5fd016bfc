"""Datasets, samplers and transforms of object detection."""

from .coco import IDCocoDataset, OODCocoDataset
from .mixed_sampler import MixedSampler
from .ood_flags import OOD_LABEL, OODFlagCocoDataset, PackOODInputs
from .transforms import RandomGaussianBlur

__all__ = [
    'OOD_LABEL',
    'IDCocoDataset',
    'MixedSampler',
    'OODCocoDataset',
    'OODFlagCocoDataset',
    'PackOODInputs',
    'RandomGaussianBlur',
]
