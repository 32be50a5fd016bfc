"""Channel gates that choose the sub-model of each task.

Shapes: B images, C channels of a layer, maps (B, C, H, W).
Source: ROSETTA, Yang et al., "Continual Object Detection via Prototypical
Task Correlation Guided Gating Mechanism", CVPR 2022.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import raised


def straight_through(probabilities: Tensor) -> Tensor:
    """1 where a probability is above 0.5, else 0; its gradient is kept.

    Any shape. The gradient is that of the probabilities themselves.
    """
    is_open = (probabilities > 0.5).to(probabilities)
    return is_open + probabilities - probabilities.detach()


def exclusive_share(gates: Tensor, is_free: Tensor) -> Tensor:
    """Share of the free channels that gates (B, C) open, (B,), in (0, 1).

    ``is_free`` (C,) bool: no earlier task has the channel. A hundredth of a
    channel is added to both sides, so that the logarithm of a share, and of
    its rest, has a gradient where no gate is open or all are. 1/2 if no
    channel is free.
    """
    opened = (gates * is_free).sum(1)
    return (opened + 0.01) / (is_free.sum() + 0.02)


def negative_entropy(shares: Tensor) -> Tensor:
    """``p log p + (1 - p) log(1 - p)``, any shape, in [-log 2, 0], nats.

    Least where half of the channels are open.
    """
    return torch.xlogy(shares, shares) + torch.xlogy(1 - shares, 1 - shares)


class TaskGate(nn.Module):
    """A gate for each channel of a layer, open or shut.

    In training ``g = straight_through(sigmoid(W2 relu(W1 relu(m)) + e))`` of
    each image, with the means m (B, C) of its maps, a hidden layer and, times
    ``noise``, draws e of the logistic distribution (the Gumbel softmax of two
    outcomes). In a test a channel is open if more than half of the training
    images, by a running mean, have opened it.

    A channel belongs to the first task that opens it, and stays open for the
    later ones: their sub-models hold those of the earlier tasks, because no
    image of a class-incremental test says of which task it is. Buffers, so in
    checkpoints: ``owner`` (C,), the number of this task, from 1, or 0, and
    ``share`` (C,), the running mean. A new gate is open everywhere.

    Args:
        channels: C.
        task: number of the task that is trained or tested, from 1. Of a
            checkpoint of a later one this is the earlier task's sub-model.
        hidden: size of the hidden layer.
        noise: 0 for none.
        start: logit of a new gate; with 2 the noise shuts one of eight.
        momentum: of the running mean.
    """

    owner: Tensor
    share: Tensor
    exact_buffers = ('owner', 'share')

    def __init__(
        self,
        channels: int,
        *,
        task: int = 1,
        hidden: int = 16,
        noise: float = 1.0,
        start: float = 2.0,
        momentum: float = 0.99,
    ) -> None:
        super().__init__()
        self.task, self.noise, self.momentum = task, noise, momentum
        self.hidden = nn.Linear(channels, hidden)
        self.out = nn.Linear(hidden, channels)
        nn.init.constant_(self.out.bias, start)
        self.register_buffer('owner', torch.ones(channels, dtype=torch.long))
        self.register_buffer('share', torch.ones(channels))
        self._step: tuple[Tensor, Tensor] | None = None

    @property
    def is_kept(self) -> Tensor:
        """Channels of earlier tasks, (C,) bool."""
        return (self.owner > 0) & (self.owner < self.task)

    @property
    def is_open(self) -> Tensor:
        """Channels of the task's sub-model, (C,) bool."""
        return (self.owner > 0) & (self.owner <= self.task)

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training:
            return maps * self.is_open.to(maps)[:, None, None]
        probabilities = self._probabilities(maps)
        gates = straight_through(probabilities)
        self._step = probabilities, gates
        gates = torch.where(self.is_kept, 1.0, gates)
        return maps * gates.to(maps)[:, :, None, None]

    def after_layer(self, _: nn.Module, __: tuple, maps: Tensor) -> Tensor:
        """As `forward`, for ``layer.register_forward_hook``."""
        return self(maps)

    def take_step(self) -> tuple[Tensor, Tensor]:
        """Probabilities and gates (B, C) of the last training step, once.

        Raises RuntimeError if there was none since.
        """
        if self._step is None:
            raise RuntimeError(
                'the gates have seen no training step: their losses are '
                'those of one call of the backbone in training mode'
            )
        step, self._step = self._step, None
        return step

    @torch.no_grad()
    def count(self, opened: Tensor) -> None:
        """Note which share of a step's images opened each channel, (C,)."""
        self.share.lerp_(opened.to(self.share), 1 - self.momentum)
        own = torch.where(self.share > 0.5, self.task, 0)
        self.owner.copy_(torch.where(self.is_kept, self.owner, own))

    def _probabilities(self, maps: Tensor) -> Tensor:
        means = F.relu(raised(maps).mean((2, 3)))
        logits = raised(self.out(F.relu(self.hidden(means))))
        if self.noise:
            draws = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
            logits = logits + self.noise * torch.logit(draws)
        return logits.sigmoid()
