"""Class prototypes and what they say of the gap between two tasks.

Shapes: N new classes, O old ones, K of all steps, C feature channels.
Source: ROSETTA, Yang et al., CVPR 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmood.losses import Batch, OODLoss
from mmood.ops import Activity, ClassQueues, raised
from mmood.registry import MODELS


def class_distances(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared differences of prototypes, (N, C), (O, C) -> (N, O)."""
    difference = raised(first)[:, None] - raised(second)[None]
    return difference.square().mean(2)


def task_gap(new: Tensor, old: Tensor) -> Tensor:
    """``max(0, 1 - d_old / d_new)``, (N, C), (O, C) -> scalar in [0, 1].

    d_new is how far a new class is from its nearest old one, d_old how far
    an old class is from the nearest other old one, both means over classes
    of `class_distances`. 0: the new classes lie as close to the old ones as
    those to each other, or on them; 1: d_old is 0 or, with one old class
    alone, there is none, and the new classes lie elsewhere. 0 without a new
    or an old class.
    """
    if not len(new) or not len(old):
        return new.new_zeros(())
    d_new = class_distances(new, old).min(1)[0].mean()
    d_old = torch.zeros_like(d_new)
    if len(old) > 1:
        between = class_distances(old, old)
        between.fill_diagonal_(float('inf'))
        d_old = between.min(1)[0].mean()
    gap = 1 - d_old / torch.where(d_new > 0, d_new, 1)
    return torch.where(d_new > 0, gap.clamp(min=0), 0.0)


@MODELS.register_module()
class ClassPrototypes(OODLoss):
    """Keeps the mean feature of each class; has no loss of its own.

    A prototype is the mean of the newest ``size`` features of RoIs on objects
    of a class, of all ranks. Those of the first ``num_old`` classes stay as
    their own task has left them in the checkpoint. A class of which no object
    came has no prototype and is left out of `gap`.

    Raises ValueError if ``num_old`` is not from 0 to K.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1024,
        *,
        num_old: int = 0,
        size: int = 20,
    ) -> None:
        super().__init__()
        if not 0 <= num_old <= num_classes:
            raise ValueError(
                f'num_old must be from 0 to the {num_classes} classes, got '
                f'{num_old}'
            )
        self.num_old = num_old
        self.queues = ClassQueues(num_classes, in_channels, size)
        self.activity = Activity(
            'ClassPrototypes: no object of a new class was seen'
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Keep the features of a step, no loss; a collective call."""
        rows = batch.known_rows
        rows = rows[batch.labels[rows] >= self.num_old]
        self.activity.add(len(rows))
        self.queues.add(batch.features[rows].detach(), batch.labels[rows])
        return {}

    def gap(self) -> Tensor:
        """`task_gap` of the new and the old classes so far, a scalar."""
        has_any, means = self.queues.counts > 0, self.queues.means
        old, new = means[: self.num_old], means[self.num_old :]
        return task_gap(
            new[has_any[self.num_old :]], old[has_any[: self.num_old]]
        )
