"""Pictures of scores."""

from .curves import plot_roc_and_histogram

__all__ = ['plot_roc_and_histogram']
