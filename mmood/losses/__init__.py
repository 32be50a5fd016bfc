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
from .contrastive_clustering import ContrastiveClustering, clustering_loss
from .csi import CSILoss, CSIScore, nt_xent, rotations
from .denoising import DenoisingLoss, DiffusionScore
from .energy_hinge import EnergyHingeLoss
from .energy_ood import DreamBoxScore, EnergyOODLoss, binary_focal_loss
from .energy_weibulls import ORE, EnergyWeibulls
from .gaussian_mixtures import GaussianMixtures, MixtureScore
from .logistic import LogisticUncertaintyLoss, weighted_energy
from .mask_scores import Mask2AnomalyLoss, RbALoss
from .objectness import ObjectnessLoss
from .open_set import OpenSetLoss, columns_of
from .pixels import PixelLoss, mean_of_sides, squared_hinge
from .rpl import ResidualBlock, RPLLoss, RPLScore
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
    'ContrastiveClustering',
    'DenoisingLoss',
    'DiffusionScore',
    'DreamBoxScore',
    'EnergyHingeLoss',
    'EnergyOODLoss',
    'EnergyWeibulls',
    'GaussianMixtures',
    'IGNORE',
    'LogisticUncertaintyLoss',
    'Mask2AnomalyLoss',
    'MixtureScore',
    'OODLoss',
    'ORE',
    'OUTLIER',
    'ObjectnessLoss',
    'OpenSetLoss',
    'PixelLoss',
    'RPLLoss',
    'RPLScore',
    'RbALoss',
    'ResidualBlock',
    'SIRENKNN',
    'SIRENLoss',
    'UncertaintyLoss',
    'VMFScore',
    'binary_focal_loss',
    'build_losses',
    'build_part',
    'clustering_loss',
    'columns_of',
    'confidence_loss',
    'find_loss',
    'kl_consistency',
    'mean_of_sides',
    'nt_xent',
    'ood_losses',
    'rotations',
    'squared_hinge',
    'uncertainty_loss',
    'weighted_energy',
]
