"""The mean over the values of all ranks, whatever their numbers.

What DDP makes of the ranks' gradients is their mean. So that it is the
gradient of the mean over all ranks' values, each rank divides the sum of its
own by the mean number over the ranks, which may be below 1.
"""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor


def rank_mean(values: Tensor, where: Tensor | None = None) -> Tensor:
    """Sum of this rank's values (N, *) by the ranks' mean number of them.

    A scalar. Only those count that are True in ``where``, which is of the
    same shape; the device is not waited for. Without any value on any rank
    it is 0 and keeps the graph. A collective call: every rank makes it, even
    with N = 0.
    """
    if where is None:
        return values.sum() / or_one(rank_count(values.flatten()))
    count = where.sum().float()
    all_reduce(count, 'mean')
    return torch.where(where, values, 0).sum() / or_one(count)


@torch.no_grad()
def rank_count(values: Tensor | int) -> Tensor:
    """The ranks' mean number of rows, a scalar; a collective call.

    For ``values`` of other shapes than rows give the number itself, also as
    a scalar tensor. Without other ranks the device need not be waited for.
    """
    if isinstance(values, Tensor) and not values.dim():
        count = values.to(torch.float32, copy=True)
    else:
        number = values if isinstance(values, int) else len(values)
        device = None if isinstance(values, int) else values.device
        count = torch.full((), float(number), device=device)
    all_reduce(count, 'mean')
    return count


def or_one(count: float | Tensor) -> float | Tensor:
    """The count to divide a sum by: 1 where there is nothing to add up.

    A tensor remains one, so that no device is waited for.
    """
    if isinstance(count, Tensor):
        return torch.where(count > 0, count, 1)
    return count if count > 0 else 1.0
