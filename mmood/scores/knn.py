"""Distance to the k-th nearest training sample.

Shapes: N samples, n samples in the bank, C channels, * any trailing shape
(none for RoIs, H W for maps). Higher is more OOD.
Source: Sun et al., "Out-of-Distribution Detection with Deep Nearest
Neighbors", ICML 2022.
"""

from __future__ import annotations

from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from mmood.ops import Reservoir, raised

from .fitted import FittedScore, check_channels, rows, unrows
from .samples import KINDS, Samples, register_score


def knn_distance(
    x: Tensor, bank: Tensor, k: int, chunk_size: int = 4096
) -> Tensor:
    """``|x - z_(k)|``, (N, C, *) -> (N, *), >= 0, in the features' unit.

    z_(k) is the k-th nearest of the vectors ``bank`` (n, C); vectors of unit
    length, as the paper's (Alg. 1), give values in [0, 2]. In the
    bank's precision, at least float32. Neighbours are found by products of
    at most ``chunk_size`` x ``chunk_size`` dot products, which cannot order
    those whose squared distances differ by less than about 1e-6 of the
    squared lengths; the distance itself is the difference's length, and so
    exact for vectors that are nearly equal.
    Raises ValueError unless 1 <= k <= n and ``chunk_size`` >= 1.
    """
    if chunk_size < 1:
        raise ValueError(f'chunk_size must be at least 1, got {chunk_size}')
    check_k(k, len(bank))
    bank = raised(bank)
    parts = []
    for part in rows(x).to(bank).split(chunk_size):
        nearest = bank[_kth_nearest(part, bank, k, chunk_size)]
        parts.append(torch.linalg.vector_norm(part - nearest, dim=1))
    return unrows(torch.cat(parts), x)


@torch.no_grad()
def _kth_nearest(x: Tensor, bank: Tensor, k: int, chunk_size: int) -> Tensor:
    """Place in the bank (n, C), (N, C) -> (N,)."""
    values = x.new_empty(len(x), 0)
    places = torch.empty_like(values, dtype=torch.int64)
    for start in range(0, len(bank), chunk_size):
        part = bank[start : start + chunk_size]
        squares = torch.linalg.vector_norm(part, dim=1).square()
        with torch.autocast(x.device.type, enabled=False):
            # The squared distance less |x|^2.
            new = torch.addmm(squares, x, part.T, alpha=-2)
        new, order = new.topk(min(k, len(part)), largest=False)
        values = torch.cat([values, new], 1)
        places = torch.cat([places, order + start], 1)
        keep = min(k, values.shape[1])
        values, order = values.topk(keep, largest=False)
        places = places.gather(1, order)
    return places[:, -1]


def check_k(k: int, size: int) -> None:
    if not 1 <= k <= size:
        raise ValueError(
            f'k must be in 1..{size}, the number of samples in the bank, got '
            f'{k}: lower k or fit on more images'
        )


@register_score('knn', reads=('features',), kinds=KINDS)
class KNN(FittedScore):
    """`knn_distance` to a random sample of the training features.

    ``bank_size`` is its largest size, and ``normalize`` scales all vectors
    to unit length first, as the paper does. ``k`` should grow with the
    bank: the paper takes 50 for 50,000 samples (CIFAR-10) and 1000 for 1.3
    million (ImageNet), which are 20 and 16 for a full bank here; 10 suits
    one that is half full.

    Buffer ``bank`` (n, C), float32, 4 n C bytes in the checkpoint; (0, C)
    until it is fitted. Raises ValueError unless 1 <= k <= ``bank_size``,
    `finish` if there are fewer than k samples.
    """

    resizable = MappingProxyType({'bank': 0})

    def __init__(
        self,
        channels: int,
        k: int = 10,
        *,
        bank_size: int = 20_000,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        check_k(k, bank_size)
        self.channels, self.k = channels, k
        self.bank_size, self.normalize = bank_size, normalize
        self.register_buffer('bank', torch.empty(0, channels))
        self._sample: Reservoir | None = None

    def _start(self) -> None:
        self._sample = Reservoir(self.bank_size)

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        check_channels(self.vectors(samples), self.channels)
        keys = None if keys is None else keys.flatten()
        self._sample.add(rows(self._scaled(samples)), keys)

    def _finish(self) -> None:
        bank = self._sample.merge().to(self.bank)
        check_k(self.k, len(bank))
        self.bank, self._sample = bank, None

    def _score(self, samples: Samples) -> Tensor:
        return knn_distance(self._scaled(samples), self.bank, self.k)

    def _scaled(self, samples: Samples) -> Tensor:
        x = self.vectors(samples).float()
        return F.normalize(x, dim=1) if self.normalize else x
