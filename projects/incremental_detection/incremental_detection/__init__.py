"""Incremental detection: classes come in steps."""

from .detector import IncrementalFasterRCNN
from .distiller import Distiller
from .gated_detector import GatedFasterRCNN
from .gated_resnet import GatedResNet
from .gates import TaskGate
from .prototypes import ClassPrototypes
from .sub_model_hook import SubModelHook
from .warp_hook import WarpGradientHook

__all__ = [
    'ClassPrototypes',
    'Distiller',
    'GatedFasterRCNN',
    'GatedResNet',
    'IncrementalFasterRCNN',
    'SubModelHook',
    'TaskGate',
    'WarpGradientHook',
]
