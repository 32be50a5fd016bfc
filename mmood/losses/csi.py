"""CSI on boxes: contrast each with its rotations, and name the rotation.

Shapes: N known boxes with pooled maps (N, c, h, h), n of them chosen, C
channels of box features, S = 4 shifts (rotations), D projection channels.
Source: Tack et al., "CSI: Novelty Detection via Contrastive Learning on
Distributionally Shifted Instances", NeurIPS 2020, Sec. 2.2 and 2.3.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import MappingProxyType

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmood.ops import Reservoir, or_one, raised, rank_count
from mmood.registry import MODELS
from mmood.scores import FittedScore, Samples, register_score
from mmood.scores.samples import KINDS

from .batch import Batch, OODLoss, find_loss

SHIFTS = 4


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


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5) -> Tensor:
    """Normalized cross entropy of M pairs (M, D), a scalar >= 0 in nats.

    The mean over all 2 M vectors of ``-log softmax(cos / T)`` of the other
    one of the pair among all others; 0 for no pair. Source: Chen et al., "A
    Simple Framework for Contrastive Learning of Visual Representations",
    ICML 2020, Eq. 1. Raises ValueError for a ``temperature`` that is not
    positive.
    """
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    with torch.autocast(first.device.type, enabled=False):
        z = F.normalize(raised(torch.cat([first, second])), dim=1)
        logits = z @ z.T / temperature
    count = len(z)
    itself = torch.eye(count, dtype=torch.bool, device=z.device)
    others = logits.masked_fill(itself, float('-inf')).log_softmax(1)
    pairs = torch.arange(count, device=z.device).roll(len(first))
    return -others.gather(1, pairs[:, None]).sum() / max(count, 1)


@MODELS.register_module()
class CSILoss(OODLoss):
    """``loss_csi`` and ``loss_csi_shift``, weighted, of the known boxes.

    The contrast is `nt_xent` of projections: a box under a shift is to be
    near its second view under the same shift, and far from all else, its
    own other shifts too. The other loss is the cross entropy of a linear
    classifier of the shift from the box features. The labels are not used.

    As published, except: the views are jittered boxes instead of augmented
    images, the shifts turn pooled maps instead of images, at most
    ``max_samples`` boxes of a rank contrast, with each other, and the losses
    join those of the detector, hence the small weights, instead of training
    a model of their own.

    Args:
        in_channels: C of the box features.
        channels: D.
    """

    reads = ('inputs',)

    def __init__(
        self,
        in_channels: int = 1024,
        *,
        channels: int = 128,
        temperature: float = 0.5,
        max_samples: int = 64,
        loss_weight: float = 0.1,
        shift_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if max_samples < 1:
            raise ValueError(f'max_samples must be >= 1, got {max_samples}')
        self.channels = channels
        self.temperature, self.max_samples = temperature, max_samples
        self.loss_weight, self.shift_weight = loss_weight, shift_weight
        self.projector = nn.Sequential(
            nn.Linear(in_channels, in_channels),
            nn.ReLU(),
            nn.Linear(in_channels, channels),
        )
        self.shift_classifier = nn.Linear(in_channels, SHIFTS)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Both losses; a rank counts by its boxes, up to ``max_samples``.

        Raises ValueError for a head without pooled maps, and for maps that
        differ in shape or are not square.
        """
        inputs, second = _views(batch)
        chosen = torch.randperm(len(inputs), device=inputs.device)
        chosen = chosen[: self.max_samples]
        n = len(chosen)
        maps = [*rotations(inputs[chosen]), *rotations(second[chosen])]
        features = batch.view(torch.cat(maps)).features  # (2 S n, C)
        z = self.projector(features)
        half = SHIFTS * n
        contrast = nt_xent(z[:half], z[half:], self.temperature)

        shifts = torch.arange(SHIFTS, device=z.device)
        shifts = shifts.repeat_interleave(n).repeat(2)
        logits = self.shift_classifier(features).float()
        shift = F.cross_entropy(logits, shifts, reduction='sum')
        shift = shift / max(len(shifts), 1)
        # By the number chosen at a mean rank.
        share = n / or_one(rank_count(inputs).clamp(max=self.max_samples))
        return {
            'loss_csi': self.loss_weight * share * contrast,
            'loss_csi_shift': self.shift_weight * share * shift,
        }


def _views(batch: Batch) -> tuple[Tensor, Tensor]:
    """Pooled maps of the known boxes, and of the same ones, jittered."""
    if batch.inputs is None or batch.view is None or batch.jitter is None:
        raise ValueError(
            'CSILoss needs the pooled maps of boxes (inputs, view and jitter '
            'of a Batch), which the RoI heads of mmood give'
        )
    inputs, second = batch.known.inputs, batch.jitter()
    if inputs.shape != second.shape:
        raise ValueError(
            'jitter must give maps of the same boxes, got '
            f'{tuple(second.shape)} for {tuple(inputs.shape)}'
        )
    return inputs, second


@register_score('csi', reads=('inputs',), kinds=KINDS)
class CSIScore(FittedScore):
    """``-sum_S (a_S max_m cos(z_S, z_mS) |z_S| + b_S q_S)``, (N,), unbounded.

    z_S (D) is the projection of a box's features under the shift S, z_mS
    that of training box m, q_S the logit of the shift S, which is the right
    one, by the heads of a `CSILoss`. ``a_S = 1 / mean_m |z_mS|`` and ``b_S =
    1 / mean_m q_mS``, means of all training boxes, weight the parts; the
    maximum runs over ``bank_size`` of them at most. A part with a mean that
    is not positive has not been learned: it counts 0, with a warning.

    Buffers: ``bank`` (S, n, D) of unit vectors, ``weights`` (2, S): a, b.
    """

    bank: Tensor
    weights: Tensor
    resizable = MappingProxyType({'bank': 1})

    def __init__(
        self, losses: Iterable[nn.Module], *, bank_size: int = 1000
    ) -> None:
        super().__init__()
        loss = find_loss(losses, CSILoss, 'csi')
        # In a tuple: it is saved with the losses.
        self._loss = (loss,)
        self.bank_size = bank_size
        self.register_buffer('bank', torch.zeros(SHIFTS, 0, loss.channels))
        self.register_buffer('weights', torch.zeros(2, SHIFTS))

    def vectors(self, samples: Samples) -> Tensor:
        return samples.inputs

    def _start(self) -> None:
        self._reservoir = Reservoir(self.bank_size)
        self._sums = self.weights.new_zeros((2, SHIFTS), dtype=torch.float64)
        self._count = self._sums.new_zeros(1)

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        z, right = self._encode(samples)
        self._sums += torch.stack([z.norm(dim=2), right]).double().sum(2)
        self._count += len(samples)
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

    def _score(self, samples: Samples) -> Tensor:
        z, right = self._encode(samples)
        with torch.autocast(z.device.type, enabled=False):
            nearest = (z @ self.bank.transpose(1, 2)).amax(2)  # |z| cos
        parts = torch.stack([nearest, right])  # (2, S, N)
        return -(self.weights.unsqueeze(2) * parts).sum((0, 1))

    def _encode(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Projections (S, N, D) and logits of the right shift (S, N)."""
        (loss,) = self._loss
        z, right = [], []
        for shift, maps in enumerate(rotations(samples.inputs)):
            features = samples.view(maps).features
            z.append(loss.projector(features).to(self.bank))
            logits = loss.shift_classifier(features)
            right.append(logits[:, shift].to(self.bank))
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
