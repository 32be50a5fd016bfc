"""Evaluators of object detection."""

from .ood_det_metric import OODDetMetric

__all__ = ['OODDetMetric']
