"""Outliers from a normalizing flow: unlikely samples of all known features.

Paper: Kumar et al., "Normalizing Flow Based Feature Synthesis for
Outlier-Aware Object Detection" (FFS), CVPR 2023. Coupling blocks: FrEIA.

Shapes: N samples, C channels, M outliers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmood.losses import Batch
from mmood.ops import rank_mean
from mmood.registry import MODELS
from mmood.scores import Samples

from .source import OutlierSource


@MODELS.register_module()
class FlowFeatureSynthesis(OutlierSource):
    """Learn the density of known features; outliers are its rarest samples.

    The flow maps a feature x to ``z ~ N(0, I)`` by ``num_blocks`` GLOW
    coupling blocks, each followed by a fixed permutation of the channels,
    and is trained by ``-log p(x) = |z|^2 / 2 + C / 2 log 2 pi - log|dz/dx|``,
    in nats. An outlier is the inverse of the one of many draws of z with the
    highest ``-log p(x)``; no gradient flows into it.

    As in the authors' code the features are neither scaled nor shifted,
    though they are outputs of a ReLU, and outliers may be negative. Theirs
    adds the constant ``C log 256`` to the loss, and draws the permutations
    from numpy's global generator; here they are the same, in buffers.

    Args:
        hidden: width of the blocks' networks; None: 2 C (2048 for 1024).
        clamp: a block scales a channel by at most ``exp(+-clamp)``.
        num_candidates, num_select: of so many draws the so many least
            likely are the outliers.
        loss_weight: of ``loss_flow``.
        start: see `OutlierSource`.

    Raises ImportError without FrEIA (``pip install 'mmood[flow]'``).
    """

    orders: Tensor
    reads = ('classify',)

    def __init__(
        self,
        channels: int,
        *,
        num_blocks: int = 2,
        hidden: int | None = None,
        clamp: float = 2.0,
        num_candidates: int = 200,
        num_select: int = 1,
        loss_weight: float = 1e-4,
        **start: Any,
    ) -> None:
        super().__init__(**start)
        if channels < 2 or num_blocks < 1:
            raise ValueError(
                'a flow needs channels >= 2, which it halves, and num_blocks '
                f'>= 1, got {channels} and {num_blocks}'
            )
        if not 1 <= num_select <= num_candidates:
            raise ValueError(
                'num_select must be in [1, num_candidates], got '
                f'{num_select} of {num_candidates}'
            )
        self.channels = channels
        self.num_candidates = num_candidates
        self.num_select = num_select
        self.loss_weight = loss_weight
        width = 2 * channels if hidden is None else hidden
        self.blocks = nn.ModuleList(
            _coupling_block(channels, width, clamp) for _ in range(num_blocks)
        )
        orders = [
            np.random.RandomState(seed).permutation(channels)
            for seed in range(num_blocks)
        ]
        self.register_buffer('orders', torch.from_numpy(np.stack(orders)))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C) to latents (N, C) and ``log|dz/dx|`` (N,)."""
        log_det = x.new_zeros(len(x))
        for block, order in zip(self.blocks, self.orders):
            (x,), change = block([x])
            x, log_det = x[:, order], log_det + change
        return x, log_det

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (N, C) to features (N, C) and ``log|dz/dx|`` (N,)."""
        log_det = z.new_zeros(len(z))
        for i in reversed(range(len(self.blocks))):
            z = z[:, self.orders[i].argsort()]
            (z,), change = self.blocks[i]([z], rev=True)
            log_det = log_det - change
        return z, log_det

    def log_prob(self, x: Tensor) -> Tensor:
        """``log p(x)`` of features (N, C) -> (N,), nats, unbounded."""
        return _log_prob(*self.encode(x))

    def forward(
        self, batch: Batch
    ) -> tuple[Samples | None, dict[str, Tensor]]:
        """``num_select`` outliers, and ``loss_flow`` of the known features.

        Fewer where that many samples are not finite. The loss is the mean
        over all ranks' features, 0 for none; it does not reach what made
        the features.
        """
        features = batch.known.features
        with torch.autocast(features.device.type, enabled=False):
            known = features.detach().to(next(self.parameters()).dtype)
            loss = self.loss_weight * rank_mean(-self.log_prob(known))
            losses = {'loss_flow': loss}
            if not self.is_active(batch):
                return None, losses
            made = self._sample(known, features.dtype)
        outliers = batch.classified(made)
        return (outliers if len(made) else None), losses

    @torch.no_grad()
    def _sample(self, like: Tensor, dtype: torch.dtype) -> Tensor:
        """The least likely of new samples (M, C) that are finite."""
        z = torch.randn_like(
            like.new_empty(self.num_candidates, self.channels)
        )
        x, log_det = self.decode(z)
        log_prob = _log_prob(z, log_det)
        finite = torch.isfinite(x).all(1) & torch.isfinite(log_prob)
        log_prob = log_prob.masked_fill(~finite, math.inf)
        rarest = log_prob.topk(self.num_select, largest=False).indices
        outliers = x[rarest].to(dtype)
        return outliers[finite[rarest] & torch.isfinite(outliers).all(1)]


def _log_prob(z: Tensor, log_det: Tensor) -> Tensor:
    constant = z.shape[1] / 2 * math.log(2 * math.pi)
    return log_det - z.square().sum(1) / 2 - constant


def _coupling_block(channels: int, hidden: int, clamp: float) -> nn.Module:
    """GLOW coupling, (N, C) -> (N, C), of both halves in turn."""
    try:
        from FrEIA.modules import GLOWCouplingBlock
    except ImportError as error:
        raise ImportError(
            'FlowFeatureSynthesis needs the package FrEIA: pip install '
            "'mmood[flow]', or pip install FrEIA"
        ) from error

    def network(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )

    return GLOWCouplingBlock(
        [(channels,)], subnet_constructor=network, clamp=clamp
    )
