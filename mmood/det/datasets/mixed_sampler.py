"""A sampler that mixes painted images into the plain ones.

Shapes: N plain and M painted images, P painted ones drawn in an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmengine.dataset import ConcatDataset, DefaultSampler

from mmood.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class MixedSampler(DefaultSampler):
    """All plain images once per epoch, and painted ones among them.

    Args:
        dataset: ``ConcatDataset`` of the plain and the painted set.
        painted_share: share of painted images in an epoch, in [0, 1]:
            ``P = round(N share / (1 - share))`` of them join the N plain
            ones, in turn over the epochs, so that none comes a second time
            before all have come. 1: all painted ones and nothing else.
            None: all of both, P = M.

    The order follows from ``seed`` and epoch alone; ranks take turns.
    Raises ValueError for another share or number of sets, or if painted
    images are asked for and there are none.
    """

    def __init__(
        self,
        dataset: ConcatDataset,
        *,
        painted_share: float | None = None,
        **kwargs,
    ) -> None:
        sizes = [len(part) for part in getattr(dataset, 'datasets', ())]
        if len(sizes) != 2:
            raise ValueError(
                'MixedSampler needs a ConcatDataset of the plain and the '
                f'painted set, got {type(dataset).__name__} of {len(sizes)}'
            )
        if painted_share is not None and not 0 <= painted_share <= 1:
            raise ValueError(
                f'painted_share must be in [0, 1] or None, got {painted_share}'
            )
        if painted_share and not sizes[1]:
            raise ValueError(
                f'painted_share={painted_share} of an empty painted set'
            )
        plain, painted = sizes
        self.plain, self.painted = _counts(plain, painted, painted_share)
        super().__init__(dataset, **kwargs)
        length = self.plain + self.painted
        if self.round_up:
            self.num_samples = -(-length // self.world_size)
            self.total_size = self.num_samples * self.world_size
        else:
            self.num_samples = -(-(length - self.rank) // self.world_size)
            self.total_size = length

    def __iter__(self) -> Iterator[int]:
        plain, painted = (len(part) for part in self.dataset.datasets)
        start = self.epoch * self.painted
        drawn = _drawn(painted, start, self.painted, self.seed)
        indices = np.r_[np.arange(self.plain), plain + drawn]
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(indices)
        indices = np.resize(indices, self.total_size)
        return iter(indices[self.rank :: self.world_size].tolist())


def _counts(plain: int, painted: int, share: float | None) -> tuple[int, int]:
    """Images of both sets in an epoch."""
    if share is None:
        return plain, painted
    if share == 1:
        return 0, painted
    return plain, round(plain * share / (1 - share))


def _drawn(size: int, start: int, count: int, seed: int) -> np.ndarray:
    """``count`` entries, from ``start`` on, of endless shuffled passes."""
    if not count:
        return np.zeros(0, dtype=int)
    turns = range(start // size, (start + count - 1) // size + 1)
    passes = [
        np.random.default_rng([seed, turn]).permutation(size) for turn in turns
    ]
    first = start - turns[0] * size
    return np.concatenate(passes)[first : first + count]
