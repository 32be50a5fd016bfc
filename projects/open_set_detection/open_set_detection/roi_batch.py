"""What losses of open-set detectors get to know of a batch of RoIs.

Shapes: R RoIs of all images of a rank, K known classes, C channels of box
features, (c, h, w) pooled maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class RoIBatch:
    """The RoIs of a training step, on one rank.

    logits: (R, K + 2), of the known classes, unknown and the background.
    labels: (R,), columns of the logits; the background's is K + 1.
    features: (R, C), what the classifier gets.
    ious: (R,) with the object that a RoI was assigned, 0 for background.
    inputs: (R, c, h, w), what the box head gets.
    view: from pooled maps (n, c, h, w) to logits (n, K + 2).
    progress: share of the training that has passed, in [0, 1].
    iteration: how many steps have passed.

    Raises ValueError for rows that do not belong together and for logits
    without a known class.
    """

    logits: Tensor
    labels: Tensor
    features: Tensor
    ious: Tensor
    inputs: Tensor
    view: Callable[[Tensor], Tensor]
    progress: float = 0.0
    iteration: int = 0

    def __post_init__(self) -> None:
        rows = {
            name: len(getattr(self, name))
            for name in ('logits', 'labels', 'features', 'ious', 'inputs')
        }
        if len(set(rows.values())) > 1:
            raise ValueError(f'a RoIBatch needs a row per RoI, got {rows}')
        check_logits(self.logits)

    @property
    def num_known(self) -> int:
        """K."""
        return self.logits.shape[1] - 2

    @property
    def is_known(self) -> Tensor:
        """Which RoIs are on an object of a known class, (R,) bool."""
        return (self.labels >= 0) & (self.labels < self.num_known)

    @property
    def is_background(self) -> Tensor:
        """Which RoIs are on no object, (R,) bool."""
        return self.labels == self.num_known + 1


def check_logits(logits: Tensor) -> None:
    """Raise ValueError unless they are (R, K + 2) with K >= 1."""
    if logits.dim() != 2 or logits.shape[1] < 3:
        raise ValueError(
            'logits must be (R, K + 2), of at least one known class, unknown '
            f'and the background, got {tuple(logits.shape)}'
        )
