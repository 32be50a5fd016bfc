"""Evaluators of segmentation."""

from .frame_writer import SMIYCFrameWriter
from .ood_seg_metric import OODSegMetric

__all__ = ['OODSegMetric', 'SMIYCFrameWriter']
