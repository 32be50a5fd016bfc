"""Metrics: numpy in, floats out."""

from .detection import (
    EmptySetWarning,
    id_quantile_threshold,
    object_recall,
    ood_metrics,
    optimal_f1_threshold,
)
from .ranking import (
    PROTOCOLS,
    auroc,
    average_precision,
    fpr_at_tpr,
    protocol_rule,
)

__all__ = [
    'PROTOCOLS',
    'EmptySetWarning',
    'auroc',
    'average_precision',
    'fpr_at_tpr',
    'id_quantile_threshold',
    'object_recall',
    'ood_metrics',
    'optimal_f1_threshold',
    'protocol_rule',
]
