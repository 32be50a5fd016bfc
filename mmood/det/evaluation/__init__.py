"""Evaluators of object detection."""

from .incremental_metric import IncrementalDetMetric
from .ood_det_metric import OODDetMetric
from .open_set_metric import OpenSetDetMetric
from .results_file import OODResultsFile

__all__ = [
    'IncrementalDetMetric',
    'OODDetMetric',
    'OODResultsFile',
    'OpenSetDetMetric',
]
