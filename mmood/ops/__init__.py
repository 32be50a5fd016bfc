"""Tensor functions and statistics that know neither task nor framework."""

from .bessel import log_bessel_i, log_scaled_bessel_i
from .blur import (
    apply_separable,
    filter_matrix,
    gaussian_blur2d,
    gaussian_kernel1d,
)
from .class_queues import ClassQueues, by_class
from .coco import coco_problems, read_coco, read_json
from .feature_range import FeatureRange
from .files import NotWrittenError, atomic_write
from .gather import gather_labelled, gather_parts, gather_rows
from .locks import FolderInUseError, lock_folder
from .populations import check_populations, check_set_name, stated_origin
from .reservoir import Reservoir
from .shuffle_buffer import ShuffleBuffer

__all__ = [
    'ClassQueues',
    'FeatureRange',
    'FolderInUseError',
    'NotWrittenError',
    'Reservoir',
    'ShuffleBuffer',
    'apply_separable',
    'atomic_write',
    'by_class',
    'check_populations',
    'check_set_name',
    'coco_problems',
    'filter_matrix',
    'gather_labelled',
    'gather_parts',
    'gather_rows',
    'gaussian_blur2d',
    'gaussian_kernel1d',
    'lock_folder',
    'log_bessel_i',
    'log_scaled_bessel_i',
    'read_coco',
    'read_json',
    'stated_origin',
]
