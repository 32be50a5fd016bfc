"""CSI on boxes: contrast each with its rotations, and name the rotation.

Shapes: N known boxes with pooled maps (N, c, h, h), n of them chosen, C
channels of box features, S = 4 shifts (rotations), D projection channels.
Source: Tack et al., "CSI: Novelty Detection via Contrastive Learning on
Distributionally Shifted Instances", NeurIPS 2020, Sec. 2.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import or_one
from mmood.registry import MODELS
from mmood.scores.csi import SHIFTS, CSIScore, rotations
from mmood.scores.samples import View


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
        z = torch.cat([first, second])
        if z.dtype in (torch.float16, torch.bfloat16):
            z = z.float()
        z = F.normalize(z, dim=1)
        logits = z @ z.T / temperature
    count = len(z)
    itself = torch.eye(count, dtype=torch.bool, device=z.device)
    others = logits.masked_fill(itself, float('-inf')).log_softmax(1)
    pairs = torch.arange(count, device=z.device).roll(len(first))
    return -others.gather(1, pairs[:, None]).sum() / max(count, 1)


@MODELS.register_module()
class CSILoss(nn.Module):
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
        bank_size: training boxes that the score ``csi`` compares with.
    """

    needs_second_view = True

    def __init__(
        self,
        in_channels: int = 1024,
        *,
        channels: int = 128,
        temperature: float = 0.5,
        max_samples: int = 64,
        loss_weight: float = 0.1,
        shift_weight: float = 0.1,
        bank_size: int = 1000,
    ) -> None:
        super().__init__()
        if max_samples < 1:
            raise ValueError(f'max_samples must be >= 1, got {max_samples}')
        self.temperature, self.max_samples = temperature, max_samples
        self.loss_weight, self.shift_weight = loss_weight, shift_weight
        self.projector = nn.Sequential(
            nn.Linear(in_channels, in_channels),
            nn.ReLU(),
            nn.Linear(in_channels, channels),
        )
        self.shift_classifier = nn.Linear(in_channels, SHIFTS)
        self.score = CSIScore(
            self.projector,
            self.shift_classifier,
            channels=channels,
            size=bank_size,
        )

    def scores(self) -> dict[str, CSIScore]:
        """The score that its heads make; saved with the loss."""
        return {'csi': self.score}

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        factor: float | Tensor | None = None,
        *,
        inputs: Tensor | None = None,
        view: View | None = None,
        second: Tensor | None = None,
        **context: object,
    ) -> dict[str, Tensor]:
        """Both losses of boxes with maps ``inputs`` and ``second``.

        ``second`` are the same boxes, jittered. ``factor`` is the mean N
        over ranks: ranks with more boxes then count more. Raises ValueError
        for maps that are missing, differ in shape or are not square.
        """
        _check(inputs, view, second)
        chosen = torch.randperm(len(inputs), device=inputs.device)
        chosen = chosen[: self.max_samples]
        n = len(chosen)
        maps = [*rotations(inputs[chosen]), *rotations(second[chosen])]
        features = view(torch.cat(maps)).features  # (2 S n, C)
        z = self.projector(features)
        half = SHIFTS * n
        contrast = nt_xent(z[:half], z[half:], self.temperature)

        shifts = torch.arange(SHIFTS, device=z.device)
        shifts = shifts.repeat_interleave(n).repeat(2)
        logits = self.shift_classifier(features).float()
        shift = F.cross_entropy(logits, shifts, reduction='sum')
        shift = shift / max(len(shifts), 1)
        share = self._share(n, len(inputs) if factor is None else factor)
        return {
            'loss_csi': self.loss_weight * share * contrast,
            'loss_csi_shift': self.shift_weight * share * shift,
        }

    def _share(self, n: int, total: float | Tensor) -> float:
        """n by the number chosen at a mean rank."""
        return n / or_one(min(float(total), self.max_samples))


def _check(
    inputs: Tensor | None, view: View | None, second: Tensor | None
) -> None:
    if inputs is None or view is None or second is None:
        raise ValueError(
            'CSILoss needs inputs, view and second (the maps of the same '
            'boxes, jittered): the RoI head must give them'
        )
    if inputs.shape != second.shape:
        raise ValueError(
            'inputs and second must be the same boxes, got maps '
            f'{tuple(inputs.shape)} and {tuple(second.shape)}'
        )
