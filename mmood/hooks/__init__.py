"""Hooks for training."""

from .calibrate import CalibrateOODHook
from .finite_loss import FiniteLossHook
from .fit_scores import FitScoresHook, fit_scores

__all__ = [
    'CalibrateOODHook',
    'FiniteLossHook',
    'FitScoresHook',
    'fit_scores',
]
