"""Which boxes count."""

from __future__ import annotations

from mmengine.structures import InstanceData
from torch import Tensor


def counting_boxes(
    instances: InstanceData, threshold: float, protocol: str = 'vos'
) -> Tensor:
    """Which predicted boxes (n,) an evaluation by that protocol counts.

    Those whose RoI reaches the threshold with its best class; for
    ``dreambox`` those whose own confidence is above it.
    """
    if protocol == 'dreambox' or 'max_class_scores' not in instances:
        return instances.scores > threshold
    return instances.max_class_scores >= threshold
