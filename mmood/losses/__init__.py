"""Losses that teach a model what it does not know."""

from .blurred_classifier import BlurredClassifierLoss
from .confidence import ConfidenceLoss, confidence_loss
from .consistency import ConsistencyLoss, kl_consistency
from .csi import CSILoss, nt_xent
from .energy_ood import EnergyOODLoss, binary_focal_loss
from .logistic import LogisticUncertaintyLoss, weighted_energy
from .siren import SIRENLoss
from .uncertainty import UncertaintyLoss, uncertainty_loss

__all__ = [
    'BlurredClassifierLoss',
    'CSILoss',
    'ConfidenceLoss',
    'ConsistencyLoss',
    'EnergyOODLoss',
    'LogisticUncertaintyLoss',
    'SIRENLoss',
    'UncertaintyLoss',
    'binary_focal_loss',
    'confidence_loss',
    'kl_consistency',
    'nt_xent',
    'uncertainty_loss',
    'weighted_energy',
]
