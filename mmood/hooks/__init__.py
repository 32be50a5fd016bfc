"""Hooks for training."""

from .calibrate import CalibrateOODHook
from .finite_loss import FiniteLossHook

__all__ = ['CalibrateOODHook', 'FiniteLossHook']
