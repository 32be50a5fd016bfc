"""Open-set detection: known classes by name, anything else as unknown."""

from .box_tools import assigned_ious, merge_label
from .dropout_sampling import DropoutSamplingLinear
from .energy_weibulls import ORE, EnergyWeibulls
from .instance_contrastive import (
    InstanceContrastiveLoss,
    supervised_contrastive,
)
from .open_set_loss import OpenSetLoss
from .open_set_roi_head import OpenSetRoIHead
from .placeholder import PlaceholderLoss
from .pseudo_unknown import PseudoUnknownBBoxHead
from .unknown_probability import (
    UnknownProbabilityLoss,
    placeholder_cross_entropy,
    unknown_probability_loss,
)

__all__ = [
    'ORE',
    'DropoutSamplingLinear',
    'EnergyWeibulls',
    'InstanceContrastiveLoss',
    'OpenSetLoss',
    'OpenSetRoIHead',
    'PlaceholderLoss',
    'PseudoUnknownBBoxHead',
    'UnknownProbabilityLoss',
    'assigned_ious',
    'merge_label',
    'placeholder_cross_entropy',
    'supervised_contrastive',
    'unknown_probability_loss',
]
