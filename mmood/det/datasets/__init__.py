"""Datasets, samplers and transforms of object detection."""

from .class_splits import (
    ClassStepCocoDataset,
    OpenSetCocoDataset,
    split_steps,
)
from .coco import IDCocoDataset, OODCocoDataset, OriginCocoDataset
from .mixed_sampler import MixedSampler
from .ood_flags import OOD_LABEL, OODFlagCocoDataset, PackOODInputs
from .transforms import RandomGaussianBlur

__all__ = [
    'OOD_LABEL',
    'ClassStepCocoDataset',
    'IDCocoDataset',
    'MixedSampler',
    'OODCocoDataset',
    'OODFlagCocoDataset',
    'OpenSetCocoDataset',
    'OriginCocoDataset',
    'PackOODInputs',
    'RandomGaussianBlur',
    'split_steps',
]
