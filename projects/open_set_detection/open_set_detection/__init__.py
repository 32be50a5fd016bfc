"""Open-set detection: known classes by name, anything else as unknown."""

from .box_tools import assigned_ious, merge_label
from .dropout_sampling import DropoutSamplingLinear
from .energy_weibulls import EnergyWeibulls, fit_weibull, log_weibull_density
from .open_set_roi_head import OpenSetRoIHead
from .pseudo_unknown import PseudoUnknownBBoxHead

__all__ = [
    'DropoutSamplingLinear',
    'EnergyWeibulls',
    'OpenSetRoIHead',
    'PseudoUnknownBBoxHead',
    'assigned_ious',
    'fit_weibull',
    'log_weibull_density',
    'merge_label',
]
