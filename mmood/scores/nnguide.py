"""Confidence, guided by how near confident training samples are.

Shapes: N samples, n samples in the bank, C channels, K classes, * any
trailing shape (none for RoIs, H W for maps). Higher is more OOD.
Source: Park et al., "Nearest Neighbor Guidance for Out-of-Distribution
Detection", ICCV 2023.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmood.ops import Reservoir, raised

from .fitted import FittedScore, check_channels, in_parts, rows, unrows
from .knn import check_k
from .logits import energy, joint_energy
from .samples import Samples, register_score


@torch.no_grad()
def mean_of_largest_products(
    x: Tensor, bank: Tensor, k: int, chunk_size: int = 4096
) -> Tensor:
    """Mean of the k largest ``x . b``, (N, C, *) -> (N, *).

    b of the vectors ``bank`` (n, C), in whose precision, at least float32,
    it is computed, by at most ``chunk_size`` x ``chunk_size`` products at a
    time. Raises ValueError unless 1 <= k <= n, and for another C.
    """
    check_k(k, len(bank))
    check_channels(x, bank.shape[1])
    bank, parts = raised(bank), []
    for part in in_parts(rows(x).to(bank), chunk_size):
        largest = part.new_empty(len(part), 0)
        for stored in bank.split(chunk_size):
            with torch.autocast(x.device.type, enabled=False):
                found = torch.cat([largest, part @ stored.T], 1)
            largest = found.topk(min(k, found.shape[1])).values
        parts.append(largest.mean(1))
    return unrows(torch.cat(parts), x)


@register_score(
    'nnguide', reads=('features', 'logits'), kinds=('softmax', 'sigmoid')
)
class NNGuide(FittedScore):
    """``-S(x) G(x)``, (N, C, *) -> (N, *), unbounded, logits' unit squared.

    S is the negative energy, ``logsumexp(z)`` (of sigmoid logits the sum of
    their softplus), and the guidance G the mean of the k largest
    ``S(b) cos(x, b)`` among training samples b: nearness to those of which
    the model is sure. Where S is negative, as logits may be whose background
    takes the rest, a nearer x scores higher, not lower.

    ``k=10`` is the authors' for ImageNet, and ``bank_size`` the 1 % of its
    training set that they keep; OpenOOD takes k = 100.

    Buffer ``bank`` (n, C), float32, 4 n C bytes, the vectors
    ``S(b) b / |b|``; (0, C) until it is fitted. Raises ValueError unless
    1 <= k <= ``bank_size``, `finish` if there are fewer than k samples.
    """

    bank: Tensor
    resizable = MappingProxyType({'bank': 0})

    def __init__(
        self, channels: int, k: int = 10, *, bank_size: int = 12_800
    ) -> None:
        super().__init__()
        check_k(k, bank_size)
        self.channels, self.k, self.bank_size = channels, k, bank_size
        self.register_buffer('bank', torch.empty(0, channels))
        self._sample: Reservoir | Any = None

    def _start(self) -> None:
        self._sample = Reservoir(self.bank_size)

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        x, confidence = self._parts(samples)
        keys = None if keys is None else keys.flatten()
        self._sample.add(rows(x * confidence[:, None]), keys)

    def _finish(self) -> None:
        bank = self._sample.merge().to(self.bank)
        check_k(self.k, len(bank))
        self.bank, self._sample = bank, None

    def _score(self, samples: Samples) -> Tensor:
        x, confidence = self._parts(samples)
        guidance = mean_of_largest_products(x, self.bank, self.k)
        return -confidence * guidance

    def _parts(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Features of unit length (N, C, *) and S (N, *)."""
        check_channels(samples.features, self.channels)
        of = joint_energy if samples.kind == 'sigmoid' else energy
        x = F.normalize(samples.features.float(), dim=1)
        return x, -of(samples.logits.float())
