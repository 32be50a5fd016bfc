"""PROSER's classifier and data placeholders for the unknown.

Shapes: R RoIs, n pairs of them, K known classes, columns: K known, unknown,
background; (c, h, w) pooled maps.
Source: Zhou et al., "Learning Placeholders for Open-Set Recognition", CVPR
2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmood.losses import Batch, OpenSetLoss, columns_of
from mmood.ops import rank_mean
from mmood.registry import MODELS

from .unknown_probability import placeholder_cross_entropy


def different_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Random pairs (n,), (n,) of places whose labels (N,) differ, n <= N.

    Each place is at most once the first and once the second of a pair: the
    samples stand in a random circle, and neighbours pair.
    """
    first = torch.randperm(len(labels), device=labels.device)
    second = first.roll(1)
    differ = labels[first] != labels[second]
    return first[differ], second[differ]


def mix(first: Tensor, second: Tensor, alpha: float) -> Tensor:
    """``l a + (1 - l) b``, l ~ Beta(alpha, alpha) for each pair.

    Two (n, *) -> (n, *). Source: Verma et al., "Manifold Mixup", ICML 2019,
    Sec. 2.
    """
    concentration = first.new_full((), alpha, dtype=torch.float32)
    beta = torch.distributions.Beta(concentration, concentration)
    share = beta.sample(first.shape[:1]).to(first.dtype)
    return torch.lerp(second, first, share.view(-1, *[1] * (first.dim() - 1)))


@MODELS.register_module()
class PlaceholderLoss(OpenSetLoss):
    """``loss_placeholder`` and ``loss_mix``, both means in nats, weighted.

    The classifier placeholder is the `placeholder_cross_entropy` of all
    RoIs: next to what they are, they shall be unknown. It counts background
    RoIs too, as the detection version does that OpenDet compares with (with
    ``loss_weight=0.1`` and nothing else); an unknown object lies, for a
    detector of known ones, between these and background. RoIs labelled
    unknown are left out. The data placeholder is the cross entropy, to
    unknown, of `mix`-tures of pooled maps of RoIs on known objects of
    different classes, `different_pairs` of each rank's.
    In float32 also under autocast. Source: PROSER (CVPR 2021), on learning
    classifier and data placeholders.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        mix_weight: float = 1.0,
        alpha: float = 2.0,
    ) -> None:
        super().__init__()
        if not alpha > 0:
            raise ValueError(f'alpha must be positive, got {alpha}')
        self.loss_weight, self.mix_weight = loss_weight, mix_weight
        self.alpha = alpha

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch; a collective call, also without a RoI."""
        counts = batch.is_known | batch.is_background
        beside = placeholder_cross_entropy(
            batch.logits[counts], columns_of(batch)[counts]
        )
        between = self._mixed(batch)
        return {
            'loss_placeholder': self.loss_weight * rank_mean(beside),
            'loss_mix': self.mix_weight * rank_mean(between),
        }

    def _mixed(self, batch: Batch) -> Tensor:
        """Cross entropy of the mixtures, (n,)."""
        known = batch.known_rows
        pairs = different_pairs(batch.labels[known])
        maps = mix(*(batch.inputs[known[part]] for part in pairs), self.alpha)
        logits = batch.classify(batch.view(maps).features).float()
        unknown = torch.full_like(pairs[0], batch.num_classes)
        return F.cross_entropy(logits, unknown, reduction='none')
