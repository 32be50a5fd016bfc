"""Curves and pictures."""

from .curves import plot_counted_curves, plot_roc_and_histogram
from .score_maps import (
    color_bar,
    color_map,
    draw_outline,
    finite_range,
    overlay,
)

__all__ = [
    'color_bar',
    'color_map',
    'draw_outline',
    'finite_range',
    'overlay',
    'plot_counted_curves',
    'plot_roc_and_histogram',
]
