"""Evaluators of object detection."""

from .incremental_metric import IncrementalDetMetric
from .ood_det_metric import OODDetMetric
from .open_set_metric import OpenSetDetMetric

__all__ = ['IncrementalDetMetric', 'OODDetMetric', 'OpenSetDetMetric']
