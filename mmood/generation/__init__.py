"""Images with objects that were not there before."""

from .shapes import FAR, ID, NEAR, Scene, render_scene

__all__ = ['FAR', 'ID', 'NEAR', 'Scene', 'render_scene']
