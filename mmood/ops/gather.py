"""Rows of all ranks, where ranks have different numbers of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor


def gather_rows(x: Tensor) -> Tensor:
    """All ranks' rows (n, *), in rank order, (N, *); n may differ, or be 0.

    A collective call; without other ranks it returns ``x``.
    """
    if get_world_size() == 1:
        return x
    counts = all_gather(torch.tensor([len(x)], device=x.device))
    return torch.cat(gather_parts(x, [int(count) for count in counts]))


def gather_parts(x: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    """All ranks' tensors (lengths[r], *), of known lengths.

    A collective call, unless there is nothing to send.
    """
    if not max(lengths):
        return [x] * len(lengths)
    padded = x.new_zeros(max(lengths), *x.shape[1:])
    padded[: len(x)] = x
    return [part[:n] for part, n in zip(all_gather(padded), lengths)]


@torch.no_grad()
def gather_labelled(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """All ranks' features (N, C), in float32, and integer labels (N,).

    As `gather_rows`, in one go, without gradient; labels are below 2^24.
    """
    batch = torch.cat([features.float(), labels[:, None].float()], 1)
    batch = gather_rows(batch)
    return batch[:, :-1], batch[:, -1].long()
