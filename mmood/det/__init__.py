"""Out-of-distribution object detection: the rim around MMDetection."""

from .apis import OODDetInferencer

__all__ = ['OODDetInferencer']
