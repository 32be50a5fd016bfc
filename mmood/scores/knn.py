"""Distance to the nearest training samples.

Shapes: N samples, n samples in the bank, C channels, * any trailing shape
(none for RoIs, H W for maps). Higher is more OOD.
Source: Sun et al., "Out-of-Distribution Detection with Deep Nearest
Neighbors", ICML 2022. Of dense keys: Galesso et al., "Far Away in the Deep
Space: Dense Nearest-Neighbor-Based Out-of-Distribution Detection" (cDNP),
ICCV Workshops 2023.
"""

from __future__ import annotations

import math
from types import MappingProxyType, ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import broadcast
from torch import Tensor

from mmood.ops import Reservoir, farthest_points, raised

from .fitted import FittedScore, check_channels, in_parts, rows, unrows
from .samples import KINDS, Samples, register_score

BACKENDS = ('torch', 'faiss')


def knn_distance(
    x: Tensor,
    bank: Tensor,
    k: int,
    chunk_size: int = 4096,
    *,
    average: bool = False,
    backend: str = 'torch',
) -> Tensor:
    """``|x - z_(k)|``, (N, C, *) -> (N, *), >= 0, in the features' unit.

    z_(k) is the k-th nearest of the vectors ``bank`` (n, C); vectors of unit
    length, as the paper's (Alg. 1), give values in [0, 2]. ``average``: the
    mean of the distances to the k nearest. In the bank's precision, at least
    float32. Neighbours are found by at most ``chunk_size`` x ``chunk_size``
    dot products at a time, which bounds the memory. They cannot order those
    whose squared distances differ by less than about 1e-6 of the squared
    lengths; the distance itself is the difference's length, and so exact for
    vectors that are nearly equal. ``backend='faiss'`` has that
    package find the same neighbours, on the CPU in float32.
    Raises ValueError unless 1 <= k <= n, ``chunk_size`` >= 1, the backend is
    known and C the bank's; ImportError without faiss (``pip install
    'mmood[faiss]'``).
    """
    if chunk_size < 1:
        raise ValueError(f'chunk_size must be at least 1, got {chunk_size}')
    check_k(k, len(bank))
    check_channels(x, bank.shape[1])
    faiss = _load(backend)
    bank = raised(bank)
    parts = []
    for part in in_parts(rows(x).to(bank), chunk_size):
        if faiss:
            places = _nearest_by_faiss(faiss, part, bank, k)
        else:
            places = _nearest(part, bank, k, chunk_size)
        kept = places.unbind(1) if average else [places[:, -1]]
        distances = (
            torch.linalg.vector_norm(part - bank[p], dim=1) for p in kept
        )
        parts.append(sum(distances) / len(kept))
    return unrows(torch.cat(parts), x)


@torch.no_grad()
def _nearest(x: Tensor, bank: Tensor, k: int, chunk_size: int) -> Tensor:
    """Places in the bank (n, C), nearest first, (N, C) -> (N, k)."""
    values = x.new_empty(x.shape[0], 0)
    places = torch.empty_like(values, dtype=torch.int64)
    # Of few queries wider chunks are as small, and fewer.
    wider = 1 if _is_traced() else min(4, chunk_size // max(1, len(x)))
    width = chunk_size * wider
    for start in range(0, len(bank), width):
        part = bank[start : start + width]
        with torch.autocast(x.device.type, enabled=False):
            new = squared_less_own(x, part)
        new, order = smallest(new, min(k, len(part)))
        values = torch.cat([values, new], 1)
        places = torch.cat([places, order + start], 1)
        keep = min(k, values.shape[1])
        values, order = values.topk(keep, largest=False)
        places = places.gather(1, order)
    return places


def squared_less_own(x: Tensor, bank: Tensor) -> Tensor:
    """``|x - z|^2 - |x|^2`` of all pairs, (N, C) and (n, C) -> (N, n)."""
    squares = torch.linalg.vector_norm(bank, dim=1).square()
    is_float = x.device.type == 'cpu' and x.dtype == torch.float32
    has_onednn = torch.backends.mkldnn.is_available() and not _is_traced()
    if is_float and has_onednn and len(x):
        # oneDNN, which on some CPUs takes half the time of addmm.
        products = F.linear((-2 * x).to_mkldnn(), bank.to_mkldnn())
        return products.to_dense().add_(squares)
    return torch.addmm(squares, x, bank.T, alpha=-2)


def _is_traced() -> bool:
    """Whether a graph is made, which cannot have oneDNN's tensors."""
    asked = getattr(getattr(torch, 'compiler', None), 'is_compiling', None)
    return asked is not None and asked()


def smallest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row, in order, and their places.

    As ``topk`` does, (N, n) -> twice (N, k), from fewer values: they lie
    in the k groups whose minima are the smallest, or in what is left over.
    """
    size = math.isqrt(x.shape[1] // k)  # of a group
    if size < 2:
        return x.topk(k, largest=False)
    count = x.shape[1] // size
    # A group is a column of each block, which makes the minima fast.
    blocks = x[:, : size * count].unflatten(1, (size, count))
    groups = blocks.amin(1).topk(k, largest=False, sorted=False).indices
    starts = count * torch.arange(size, device=x.device)
    places = (groups[:, None] + starts[:, None]).flatten(1)
    rest = torch.arange(size * count, x.shape[1], device=x.device)
    places = torch.cat([places, rest.expand(x.shape[0], -1)], 1)
    values, order = x.gather(1, places).topk(k, largest=False)
    return values, places.gather(1, order)


def _nearest_by_faiss(
    faiss: ModuleType, x: Tensor, bank: Tensor, k: int
) -> Tensor:
    """As `_nearest`, by the exact search that IndexFlatL2 does."""
    x_, bank_ = (v.detach().cpu().float().numpy() for v in (x, bank))
    return torch.from_numpy(faiss.knn(x_, bank_, k)[1]).to(x.device)


def _load(backend: str) -> ModuleType | None:
    """The package of a backend; None for torch."""
    if backend not in BACKENDS:
        raise ValueError(f'backend must be one of {BACKENDS}, got {backend!r}')
    if backend == 'torch':
        return None
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "backend='faiss' needs the package faiss: pip install "
            "'mmood[faiss]', or pip install faiss-cpu; backend='torch' finds "
            'the same neighbours'
        ) from error
    return faiss


def check_k(k: int, size: int) -> None:
    if not 1 <= k <= size:
        raise ValueError(
            f'k must be in 1..{size}, the number of samples in the bank, got '
            f'{k}: lower k or fit on more images'
        )


@register_score('knn', reads=('features',), kinds=KINDS)
class KNN(FittedScore):
    """`knn_distance` to a random sample of the training features.

    ``k`` should grow with the bank: the paper takes 50 for 50,000 samples
    (CIFAR-10) and 1000 for 1.3 million (ImageNet), which are 20 and 16 for a
    full bank here; 10 suits one that is half full.

    Args:
        bank_size: the random sample's largest size.
        coreset_size: how many of these stay, chosen by
            `mmood.ops.farthest_points`; None: all.
        normalize: scale all vectors to unit length first, as the paper does.
        average, backend, chunk_size: see `knn_distance`. A chunk's products
            take at most ``4 chunk_size^2`` bytes, and where oneDNN makes
            them as much again.

    Buffer ``bank`` (n, C), float32, 4 n C bytes in the checkpoint; (0, C)
    until it is fitted. Raises ValueError unless 1 <= k <= ``coreset_size`` <=
    ``bank_size``, `finish` if there are fewer than k samples.
    """

    bank: Tensor
    resizable = MappingProxyType({'bank': 0})

    def __init__(
        self,
        channels: int,
        k: int = 10,
        *,
        bank_size: int = 20_000,
        coreset_size: int | None = None,
        normalize: bool = True,
        average: bool = False,
        chunk_size: int = 4096,
        backend: str = 'torch',
    ) -> None:
        super().__init__()
        if coreset_size is not None and coreset_size > bank_size:
            raise ValueError(
                f'coreset_size={coreset_size} is chosen from the bank and '
                f'cannot exceed bank_size={bank_size}: raise bank_size'
            )
        check_k(k, bank_size if coreset_size is None else coreset_size)
        _load(backend)
        self.channels, self.k = channels, k
        self.bank_size, self.coreset_size = bank_size, coreset_size
        self.normalize = normalize
        self.arguments: dict[str, Any] = dict(
            chunk_size=chunk_size, average=average, backend=backend
        )
        self.register_buffer('bank', torch.empty(0, channels))
        self._sample: Reservoir | Any = None

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
        if self.coreset_size is not None:
            chosen = farthest_points(bank, self.coreset_size)
            broadcast(chosen)  # ranks may round differently
            bank = bank[chosen]
        self.bank, self._sample = bank, None

    def _score(self, samples: Samples) -> Tensor:
        return knn_distance(
            self._scaled(samples), self.bank, self.k, **self.arguments
        )

    def _scaled(self, samples: Samples) -> Tensor:
        x = self.vectors(samples).float()
        return F.normalize(x, dim=1) if self.normalize else x
