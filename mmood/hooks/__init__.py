"""Hooks for training."""

from .after_training import AfterTraining
from .calibrate import CalibrateOODHook
from .check_cache import CheckCacheHook
from .check_data import CheckDataHook
from .check_features import CheckFeaturesHook
from .draw import OODVisualizationHook
from .finite_loss import FiniteLossHook
from .fit_scores import FitScoresHook, fit_scores
from .idle_parts import IdlePartsHook
from .labelled_energies import LabelledEnergiesHook
from .log_processor import OODLogProcessor
from .record_test import RecordTestHook

__all__ = [
    'AfterTraining',
    'CalibrateOODHook',
    'CheckCacheHook',
    'CheckDataHook',
    'CheckFeaturesHook',
    'FiniteLossHook',
    'FitScoresHook',
    'IdlePartsHook',
    'LabelledEnergiesHook',
    'OODLogProcessor',
    'OODVisualizationHook',
    'RecordTestHook',
    'fit_scores',
]
