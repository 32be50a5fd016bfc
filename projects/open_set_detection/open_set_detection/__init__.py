"""Open-set detection: known classes by name, anything else as unknown."""

from .dropout_sampling import DropoutSamplingLinear
from .instance_contrastive import (
    InstanceContrastiveLoss,
    supervised_contrastive,
)
from .placeholder import PlaceholderLoss
from .unknown_probability import (
    UnknownProbabilityLoss,
    placeholder_cross_entropy,
    unknown_probability_loss,
)

__all__ = [
    'DropoutSamplingLinear',
    'InstanceContrastiveLoss',
    'PlaceholderLoss',
    'UnknownProbabilityLoss',
    'placeholder_cross_entropy',
    'supervised_contrastive',
    'unknown_probability_loss',
]
