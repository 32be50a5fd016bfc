"""Losses that teach a model what it does not know."""

from .batch import (
    BACKGROUND,
    IGNORE,
    OUTLIER,
    Batch,
    OODLoss,
    build_losses,
    build_part,
    check_source,
    find_loss,
    ood_losses,
)
from .blurred_classifier import BlurredClassifierLoss
from .confidence import ConfidenceLoss, confidence_loss
from .consistency import ConsistencyLoss, kl_consistency
from .csi import CSILoss, CSIScore, nt_xent, rotations
from .distillation import (
    adaptive_feature_distillation,
    adaptive_rpn_distillation,
    centred_logit_distillation,
    kl_distillation,
    squared_distillation,
)
from .energy_ood import DreamBoxScore, EnergyOODLoss, binary_focal_loss
from .instance_contrastive import (
    InstanceContrastiveLoss,
    supervised_contrastive,
)
from .logistic import LogisticUncertaintyLoss, weighted_energy
from .placeholder import PlaceholderLoss
from .roi_batch import RoIBatch
from .siren import SIRENKNN, SIRENLoss, VMFScore
from .uncertainty import UncertaintyLoss, uncertainty_loss
from .unknown_probability import (
    UnknownProbabilityLoss,
    unknown_probability_loss,
)

__all__ = [
    'BACKGROUND',
    'Batch',
    'BlurredClassifierLoss',
    'CSILoss',
    'CSIScore',
    'ConfidenceLoss',
    'ConsistencyLoss',
    'DreamBoxScore',
    'EnergyOODLoss',
    'IGNORE',
    'InstanceContrastiveLoss',
    'LogisticUncertaintyLoss',
    'OODLoss',
    'OUTLIER',
    'PlaceholderLoss',
    'RoIBatch',
    'SIRENKNN',
    'SIRENLoss',
    'UncertaintyLoss',
    'UnknownProbabilityLoss',
    'VMFScore',
    'adaptive_feature_distillation',
    'adaptive_rpn_distillation',
    'binary_focal_loss',
    'build_losses',
    'build_part',
    'centred_logit_distillation',
    'check_source',
    'confidence_loss',
    'find_loss',
    'kl_consistency',
    'kl_distillation',
    'nt_xent',
    'ood_losses',
    'rotations',
    'squared_distillation',
    'supervised_contrastive',
    'uncertainty_loss',
    'unknown_probability_loss',
    'weighted_energy',
]
