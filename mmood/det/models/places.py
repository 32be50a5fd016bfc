"""Which prior a box of a one-stage head comes from, and what is there.

MMDetection's dense heads choose, decode and thin out their boxes without
saying of which prior each one is. Columns that ride along on the priors tell:
they are chosen with them, and stand behind the decoded boxes until the
post-processing, which keeps every field it is given.

Shapes: n priors or boxes, a columns of each (2 to 4); A priors of a position,
maps (c, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules import BaseBBoxCoder
from torch import Tensor

_BASE = 256  # exact in every floating-point type, bfloat16 included
COLUMNS = 3  # for 256^3 priors


def with_places(rows: Tensor, start: int = 0) -> Tensor:
    """Rows (*, n, a) with their places from ``start`` on, (*, n, a + 3)."""
    count = rows.shape[-2]
    places = torch.arange(start, start + count, device=rows.device)
    digits = [places // _BASE**i % _BASE for i in range(COLUMNS)]
    columns = torch.stack(digits, -1).to(rows)
    return torch.cat([rows, columns.expand(*rows.shape[:-1], -1)], -1)


def split_places(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rows (n, a) without places, and the places (n,)."""
    digits = rows[:, -COLUMNS:].long()
    powers = [_BASE**i for i in range(COLUMNS)]
    return rows[:, :-COLUMNS], (digits * digits.new_tensor(powers)).sum(1)


class CarryingCoder:
    """A box coder whose boxes keep the places of their priors."""

    def __init__(self, coder: BaseBBoxCoder) -> None:
        self._coder = coder

    def __getattr__(self, name: str) -> object:
        return getattr(self._coder, name)

    def decode(self, priors: Tensor, *args, **kwargs) -> Tensor:
        own, columns = priors[:, :-COLUMNS], priors[:, -COLUMNS:]
        boxes = self._coder.decode(own, *args, **kwargs)
        return torch.cat([boxes, columns.to(boxes)], -1)


def rows_at(
    maps: Sequence[Tensor], places: Tensor, num_priors: int, groups: int = 1
) -> Tensor:
    """The values at the places of some priors, (n, c).

    Priors are counted level by level, row by row, the A of a position one
    after the other. Maps (groups c, H, W) of each level have one group of
    channels for each prior of a position, or one for all.
    """
    width = maps[0].shape[0] // groups
    found = maps[0].new_zeros(len(places), width)
    start = 0
    for level in maps:
        count = level[0].numel() * num_priors
        is_here = (places >= start) & (places < start + count)
        # Clamped, not chosen: so nothing waits for the device.
        index = (places - start).clamp(0, count - 1)
        group = index % num_priors if groups > 1 else 0 * index
        values = level.reshape(groups, width, -1)
        rows = values[group, :, index // num_priors]
        found = torch.where(is_here[:, None], rows, found)
        start += count
    return found
