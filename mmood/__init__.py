"""Out-of-distribution detection for OpenMMLab detectors."""

from .version import __version__

__all__ = ['__version__']
