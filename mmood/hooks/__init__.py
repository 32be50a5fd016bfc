"""Hooks for training."""

from .calibrate import CalibrateOODHook
from .check_data import CheckDataHook
from .check_features import CheckFeaturesHook
from .finite_loss import FiniteLossHook
from .fit_scores import FitScoresHook, fit_scores

__all__ = [
    'CalibrateOODHook',
    'CheckFeaturesHook',
    'CheckDataHook',
    'FiniteLossHook',
    'FitScoresHook',
    'fit_scores',
]
