"""Metrics: numpy in, floats out."""

from .calibration import (
    calibration_metrics,
    expected_calibration_error,
    marginal_calibration_error,
)
from .components import (
    FrameComponents,
    check_component_protocol,
    component_metrics,
    frame_components,
    pool_components,
)
from .detection import (
    EmptySetWarning,
    boxes_on_objects,
    id_quantile_threshold,
    object_recall,
    ood_metrics,
    optimal_f1_threshold,
)
from .histogram import ScoreHistogram
from .image_detections import ImageDetections
from .incremental import class_ap, forgetting, group_means
from .inputs import NanScoreError, check_share
from .open_set import (
    absolute_open_set_error,
    normalized_open_set_error,
    open_set_metrics,
    wilderness_impact,
)
from .protocols import PROTOCOLS, protocol_rule
from .ranking import auroc, average_precision, fpr_at_tpr
from .relabelled import RelabelledBoxes
from .resampling import leave_group_out
from .smiyc import BinnedFrame, best_f1_threshold, bin_frame
from .voc import (
    RankedMatches,
    best_f1_score,
    match_class,
    match_classes,
    voc_average_precision,
)

__all__ = [
    'PROTOCOLS',
    'BinnedFrame',
    'EmptySetWarning',
    'FrameComponents',
    'ImageDetections',
    'NanScoreError',
    'RankedMatches',
    'RelabelledBoxes',
    'ScoreHistogram',
    'absolute_open_set_error',
    'auroc',
    'average_precision',
    'best_f1_score',
    'best_f1_threshold',
    'bin_frame',
    'boxes_on_objects',
    'calibration_metrics',
    'check_component_protocol',
    'check_share',
    'class_ap',
    'component_metrics',
    'expected_calibration_error',
    'forgetting',
    'fpr_at_tpr',
    'frame_components',
    'group_means',
    'id_quantile_threshold',
    'leave_group_out',
    'marginal_calibration_error',
    'match_class',
    'match_classes',
    'normalized_open_set_error',
    'object_recall',
    'ood_metrics',
    'open_set_metrics',
    'optimal_f1_threshold',
    'pool_components',
    'protocol_rule',
    'voc_average_precision',
    'wilderness_impact',
]
