"""Losses that teach a model what it does not know."""

from .consistency import ConsistencyLoss, kl_consistency
from .uncertainty import UncertaintyLoss, uncertainty_loss

__all__ = [
    'ConsistencyLoss',
    'UncertaintyLoss',
    'kl_consistency',
    'uncertainty_loss',
]
