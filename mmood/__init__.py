"""Out-of-distribution detection for MMDetection and MMSegmentation."""

from .version import __version__

__all__ = ['__version__']
