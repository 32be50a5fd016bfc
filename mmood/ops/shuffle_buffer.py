"""A buffer that mixes the samples of many training steps.

Shapes: N vectors, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ShuffleBuffer(nn.Module):
    """Ring of the last ``capacity`` vectors, from which batches are drawn.

    Vectors of one image are alike; a batch drawn from the ring holds those
    of as many images as went into it. The ring is no part of the state
    dict: it is training data on its way, and fills anew after a resume.
    Raises ValueError unless ``capacity`` >= 1.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        if capacity < 1:
            raise ValueError(f'capacity must be at least 1, got {capacity}')
        self.capacity = capacity
        self._ring: Tensor | None = None
        self._next = self._filled = 0

    def __len__(self) -> int:
        return self._filled

    @torch.no_grad()
    def add(self, x: Tensor) -> None:
        """Put vectors (N, C) in the place of the oldest ones.

        Of more than ``capacity`` a random choice is taken.
        """
        if len(x) > self.capacity:
            x = x[torch.randperm(len(x), device=x.device)[: self.capacity]]
        if self._ring is None:
            self._ring = x.new_empty(self.capacity, x.shape[1])
        places = torch.arange(len(x), device=x.device) + self._next
        self._ring[places % self.capacity] = x.detach()
        self._next = (self._next + len(x)) % self.capacity
        self._filled = min(self._filled + len(x), self.capacity)

    def draw(self, count: int) -> Tensor:
        """Random vectors, none twice, (count, C); fewer if fewer are held."""
        if self._ring is None:
            raise ValueError('the buffer is empty: add vectors before draw')
        chosen = torch.randperm(self._filled, device=self._ring.device)
        return self._ring[chosen[:count]]
