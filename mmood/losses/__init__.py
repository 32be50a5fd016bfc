"""Losses that teach a model what it does not know."""

from .blurred_classifier import BlurredClassifierLoss
from .confidence import ConfidenceLoss, confidence_loss
from .consistency import ConsistencyLoss, kl_consistency
from .csi import CSILoss, nt_xent
from .denoising import DenoisingLoss, DiffusionScore
from .distillation import (
    adaptive_feature_distillation,
    adaptive_rpn_distillation,
    centred_logit_distillation,
    kl_distillation,
    squared_distillation,
)
from .energy_ood import EnergyOODLoss, binary_focal_loss
from .instance_contrastive import (
    InstanceContrastiveLoss,
    supervised_contrastive,
)
from .logistic import LogisticUncertaintyLoss, weighted_energy
from .placeholder import PlaceholderLoss
from .roi_batch import RoIBatch
from .siren import SIRENLoss
from .uncertainty import UncertaintyLoss, uncertainty_loss
from .unknown_probability import (
    UnknownProbabilityLoss,
    unknown_probability_loss,
)

__all__ = [
    'BlurredClassifierLoss',
    'CSILoss',
    'ConfidenceLoss',
    'ConsistencyLoss',
    'DenoisingLoss',
    'DiffusionScore',
    'EnergyOODLoss',
    'InstanceContrastiveLoss',
    'LogisticUncertaintyLoss',
    'PlaceholderLoss',
    'RoIBatch',
    'SIRENLoss',
    'UncertaintyLoss',
    'UnknownProbabilityLoss',
    'adaptive_feature_distillation',
    'adaptive_rpn_distillation',
    'binary_focal_loss',
    'centred_logit_distillation',
    'confidence_loss',
    'kl_consistency',
    'kl_distillation',
    'nt_xent',
    'squared_distillation',
    'supervised_contrastive',
    'uncertainty_loss',
    'unknown_probability_loss',
    'weighted_energy',
]
