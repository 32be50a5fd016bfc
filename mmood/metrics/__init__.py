"""Metrics: numpy in, floats out."""

from .components import (
    FrameComponents,
    component_metrics,
    frame_components,
    pool_components,
)
from .detection import (
    EmptySetWarning,
    id_quantile_threshold,
    object_recall,
    ood_metrics,
    optimal_f1_threshold,
)
from .histogram import ScoreHistogram
from .ranking import (
    PROTOCOLS,
    auroc,
    average_precision,
    fpr_at_tpr,
    protocol_rule,
)
from .resampling import leave_group_out

__all__ = [
    'PROTOCOLS',
    'EmptySetWarning',
    'FrameComponents',
    'ScoreHistogram',
    'auroc',
    'average_precision',
    'component_metrics',
    'fpr_at_tpr',
    'frame_components',
    'id_quantile_threshold',
    'leave_group_out',
    'object_recall',
    'ood_metrics',
    'optimal_f1_threshold',
    'pool_components',
    'protocol_rule',
]
