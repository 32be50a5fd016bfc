"""Evaluators of segmentation."""

from .ood_seg_metric import OODSegMetric

__all__ = ['OODSegMetric']
