"""Counter of what a part that starts late contributes to a training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

IDLE_PARTS = 'idle_parts.json'  # in the work folder of a training


class Activity(nn.Module):
    """Count of what a part that waits contributed, on this rank.

    ``what`` says which part and what it waits for, to be read where
    `mmood.IdlePartsHook` finds at the end that the count is 0. The buffer
    ``count`` is in checkpoints, so that a resumed training goes on counting.
    """

    count: Tensor
    exact_buffers = ('count',)

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.register_buffer('count', torch.tensor(0))

    def add(self, number: int | Tensor) -> None:
        self.count += number

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """A checkpoint of another training may lack the count."""
        value = state_dict.get(f'{prefix}count')
        self.count.fill_(0 if value is None else int(value))
