"""Tensor functions and statistics that know neither task nor framework."""

from .activity import IDLE_PARTS, Activity
from .bessel import log_bessel_i, log_scaled_bessel_i
from .blur import (
    apply_separable,
    filter_matrix,
    gaussian_blur2d,
    gaussian_kernel1d,
)
from .class_queues import ClassQueues, by_class
from .coco import coco_problems, read_coco, read_json
from .coreset import farthest_points
from .exact_state import copy_exact, exact_parts, exact_state, forget_fits
from .feature_range import FeatureRange
from .files import NotWrittenError, atomic_write, write_arrays, write_json
from .gather import gather_labelled, gather_parts, gather_rows
from .gaussian_mixtures import (
    evenly_spread,
    log_gaussians,
    moments_of_directions,
    sinkhorn,
    sinkhorn_assignment,
)
from .images import image_size, list_files, list_images
from .labels import read_labels
from .locks import FolderInUseError, lock_folder
from .pictures import OutputNames, as_bgr, list_pictures
from .populations import (
    carry,
    check_class_names,
    check_populations,
    check_set_name,
    stated_origin,
)
from .precision import full_products, raised, to_float32
from .provenance import file_sha256, versions
from .rank_mean import or_one, rank_count, rank_mean
from .reservoir import Reservoir
from .shuffle_buffer import ShuffleBuffer
from .weibull import (
    Weibull,
    fit_weibull,
    log_weibull_density,
    weibull_cdf,
)

__all__ = [
    'Activity',
    'ClassQueues',
    'FeatureRange',
    'FolderInUseError',
    'IDLE_PARTS',
    'NotWrittenError',
    'OutputNames',
    'Reservoir',
    'ShuffleBuffer',
    'Weibull',
    'apply_separable',
    'as_bgr',
    'atomic_write',
    'by_class',
    'carry',
    'check_class_names',
    'check_populations',
    'check_set_name',
    'coco_problems',
    'copy_exact',
    'evenly_spread',
    'exact_parts',
    'exact_state',
    'farthest_points',
    'filter_matrix',
    'fit_weibull',
    'forget_fits',
    'full_products',
    'file_sha256',
    'gather_labelled',
    'gather_parts',
    'gather_rows',
    'gaussian_blur2d',
    'gaussian_kernel1d',
    'image_size',
    'list_files',
    'list_images',
    'list_pictures',
    'lock_folder',
    'log_bessel_i',
    'log_scaled_bessel_i',
    'log_gaussians',
    'log_weibull_density',
    'moments_of_directions',
    'or_one',
    'raised',
    'rank_count',
    'rank_mean',
    'read_coco',
    'read_json',
    'read_labels',
    'sinkhorn',
    'sinkhorn_assignment',
    'stated_origin',
    'weibull_cdf',
    'to_float32',
    'versions',
    'write_arrays',
    'write_json',
]
