"""Which boxes count."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def counting_boxes(
    own: Tensor | np.ndarray,
    best: Tensor | np.ndarray,
    threshold: float,
    protocol: str = 'vos',
) -> Tensor | np.ndarray:
    """Which predicted boxes (n,) an evaluation by that protocol counts.

    Those whose RoI reaches the threshold with its ``best`` class; for
    ``dreambox`` those whose ``own`` confidence is above it.
    """
    return own > threshold if protocol == 'dreambox' else best >= threshold
