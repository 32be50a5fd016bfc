"""CSI's score: how well a box and its rotations fit the training data.

Shapes: N boxes with pooled maps (N, c, h, h), S = 4 shifts (rotations), D
projection channels, n boxes in the bank. Higher is more OOD.
Source: Tack et al., "CSI: Novelty Detection via Contrastive Learning on
Distributionally Shifted Instances", NeurIPS 2020, Sec. 2.3.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import MappingProxyType

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor

from mmood.ops import Reservoir

from .fitted import FittedScore
from .samples import View

SHIFTS = 4
Head = Callable[[Tensor], Tensor]


def rotations(maps: Tensor) -> list[Tensor]:
    """Maps (N, c, h, h) turned by 0, 90, 180 and 270 degrees.

    Raises ValueError for maps that are not square.
    """
    if maps.shape[-2] != maps.shape[-1]:
        raise ValueError(
            'CSI turns pooled maps by 90 degrees: they must be square, got '
            f'{tuple(maps.shape)}; set output_size of the RoI layer'
        )
    return [torch.rot90(maps, turns, (-2, -1)) for turns in range(SHIFTS)]


class CSIScore(FittedScore):
    """``-sum_S (a_S max_m cos(z_S, z_mS) |z_S| + b_S q_S)``, (N,), unbounded.

    z_S (D) is the projection of a box's features under the shift S, z_mS
    that of training box m, q_S the logit of the shift S, which is the right
    one. ``a_S = 1 / mean_m |z_mS|`` and ``b_S = 1 / mean_m q_mS``, means of
    all training boxes, weight the parts; the maximum runs over ``size`` of
    them at most. A part with a mean that is not positive has not been
    learned: it counts 0, with a warning.

    ``project`` (N, C) -> (N, D) and ``classify`` (N, C) -> (N, S) are the
    trained heads of a `mmood.losses.CSILoss`, which saves them.

    Buffers: ``bank`` (S, n, D) of unit vectors, ``weights`` (2, S): a, b.
    """

    resizable = MappingProxyType({'bank': 1})

    def __init__(
        self,
        project: Head,
        classify: Head,
        *,
        channels: int = 128,
        size: int = 1000,
    ) -> None:
        super().__init__('inputs')
        # A tuple: modules in it are not registered, nor saved, again.
        self._heads = (project, classify)
        self.size = size
        self.register_buffer('bank', torch.zeros(SHIFTS, 0, channels))
        self.register_buffer('weights', torch.zeros(2, SHIFTS))

    def _start(self) -> None:
        self._reservoir = Reservoir(self.size)
        self._sums = self.weights.new_zeros((2, SHIFTS), dtype=torch.float64)
        self._count = self._sums.new_zeros(1)

    def _add(
        self,
        inputs: Tensor,
        view: View,
        *,
        labels: Tensor,
        keys: Tensor | None,
    ) -> None:
        z, right = self._encode(inputs, view)
        self._sums += torch.stack([z.norm(dim=2), right]).double().sum(2)
        self._count += len(inputs)
        self._reservoir.add(z.movedim(0, 1).flatten(1), keys)  # (N, S D)

    def _finish(self) -> None:
        all_reduce(self._sums)
        all_reduce(self._count)
        bank = self._reservoir.merge()
        if not len(bank):
            raise ValueError('no box to fit CSIScore on: check the labels')
        bank = bank.unflatten(1, (SHIFTS, -1)).movedim(1, 0)  # (S, n, D)
        self.bank = F.normalize(bank, dim=2).to(self.bank)
        self.weights.copy_(_inverse(self._sums / self._count))

    def _score(self, inputs: Tensor, view: View) -> Tensor:
        z, right = self._encode(inputs, view)
        with torch.autocast(z.device.type, enabled=False):
            nearest = (z @ self.bank.transpose(1, 2)).amax(2)  # |z| cos
        parts = torch.stack([nearest, right])  # (2, S, N)
        return -(self.weights.unsqueeze(2) * parts).sum((0, 1))

    def _encode(self, inputs: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """Projections (S, N, D) and logits of the right shift (S, N)."""
        project, classify = self._heads
        z, right = [], []
        for shift, maps in enumerate(rotations(inputs)):
            features = view(maps).features
            z.append(project(features).to(self.bank))
            right.append(classify(features)[:, shift].to(self.bank))
        return torch.stack(z), torch.stack(right)


def _inverse(means: Tensor) -> Tensor:
    """1 / means (2, S), and 0 for those that are not positive."""
    if not torch.isfinite(means).all():
        raise ValueError(
            'CSIScore got projections or shift logits that are nan or '
            'infinite: the checkpoint has diverged, take one from before'
        )
    if not (means > 0).all():
        warnings.warn(
            'a shift that was not learned is left out of CSIScore: the mean '
            f'norms and right logits are {means.tolist()}; train with '
            'mmood.CSILoss',
            stacklevel=2,
        )
    return torch.where(means > 0, 1 / means, 0 * means)
