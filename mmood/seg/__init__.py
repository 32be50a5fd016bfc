"""Out-of-distribution segmentation: the rim around MMSegmentation."""

from .apis import OODSegInferencer

__all__ = ['OODSegInferencer']
