"""Out-of-distribution detection for OpenMMLab detectors and segmentors."""

from .version import __version__

__all__ = ['__version__']
