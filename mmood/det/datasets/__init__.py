"""Datasets and transforms of object detection."""

from .coco import IDCocoDataset, OODCocoDataset
from .transforms import RandomGaussianBlur

__all__ = ['IDCocoDataset', 'OODCocoDataset', 'RandomGaussianBlur']
