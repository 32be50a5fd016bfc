"""Losses that teach a model what it does not know."""

from .batch import (
    BACKGROUND,
    IGNORE,
    OUTLIER,
    Batch,
    OODLoss,
    build_losses,
    build_part,
    find_loss,
    ood_losses,
)
from .blurred_classifier import BlurredClassifierLoss
from .confidence import ConfidenceLoss, confidence_loss
from .consistency import ConsistencyLoss, kl_consistency
from .csi import CSILoss, CSIScore, nt_xent, rotations
from .denoising import DenoisingLoss, DiffusionScore
from .energy_ood import DreamBoxScore, EnergyOODLoss, binary_focal_loss
from .gaussian_mixtures import GaussianMixtures, MixtureScore
from .logistic import LogisticUncertaintyLoss, weighted_energy
from .siren import SIRENKNN, SIRENLoss, VMFScore
from .uncertainty import UncertaintyLoss, uncertainty_loss

__all__ = [
    'BACKGROUND',
    'Batch',
    'BlurredClassifierLoss',
    'CSILoss',
    'CSIScore',
    'ConfidenceLoss',
    'ConsistencyLoss',
    'DenoisingLoss',
    'DiffusionScore',
    'DreamBoxScore',
    'EnergyOODLoss',
    'GaussianMixtures',
    'IGNORE',
    'LogisticUncertaintyLoss',
    'MixtureScore',
    'OODLoss',
    'OUTLIER',
    'SIRENKNN',
    'SIRENLoss',
    'UncertaintyLoss',
    'VMFScore',
    'binary_focal_loss',
    'build_losses',
    'build_part',
    'confidence_loss',
    'find_loss',
    'kl_consistency',
    'nt_xent',
    'ood_losses',
    'rotations',
    'uncertainty_loss',
    'weighted_energy',
]
