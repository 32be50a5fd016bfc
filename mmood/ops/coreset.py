"""A few vectors that cover many.

Shapes: n vectors, C channels, m of them chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def farthest_points(x: Tensor, size: int) -> Tensor:
    """Places of vectors that lie far apart, (n, C) -> (m,), m <= ``size``.

    The first, then always the one that is farthest from those chosen: no
    vector is farther from them than twice the least radius at which
    ``size`` balls around any of the vectors cover all (greedy k-centre).
    m products of n x C numbers; beside x it holds a few vectors of n. m < n
    only if ``size`` is. Source: Gonzalez, "Clustering to Minimize the
    Maximum Intercluster Distance", 1985; as a coreset: Sener and Savarese,
    ICLR 2018. Raises ValueError unless x is (n, C) and ``size`` >= 1.
    """
    if x.dim() != 2:
        raise ValueError(f'x must be (n, C), got {tuple(x.shape)}')
    if size < 1:
        raise ValueError(f'size must be at least 1, got {size}')
    squares = torch.linalg.vector_norm(x, dim=1).square()
    nearest = torch.full_like(squares, torch.inf)  # squared distance
    chosen = torch.zeros(min(size, len(x)), dtype=torch.int64, device=x.device)
    for i in range(len(chosen)):
        place = nearest.argmax() if i else chosen[0]
        chosen[i] = place
        with torch.autocast(x.device.type, enabled=False):
            distance = torch.addmv(
                squares + squares[place], x, x[place], alpha=-2
            )
        nearest = torch.minimum(nearest, distance)
        nearest[place] = -torch.inf  # of equals none comes twice
    return chosen
