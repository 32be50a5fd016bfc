"""Which epoch an image is loaded in, told to its transforms.

mmengine tells it to nobody in the processes of a loader, which load images
long before they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler

from mmood.registry import DATA_SAMPLERS


class Visit(int):
    """Number of an image, and the ``epoch`` in which it is loaded.

    mmengine's datasets hand it on to transforms as ``sample_idx``.
    """

    epoch: int

    def __new__(cls, number: int, epoch: int) -> Visit:
        made = super().__new__(cls, number)
        made.epoch = epoch
        return made

    def __sub__(self, other: int) -> Visit:
        """Within the set of a ``ConcatDataset``."""
        return Visit(int(self) - other, self.epoch)

    def __mod__(self, size: int) -> Visit:
        """Within the set of a ``RepeatDataset``; each time another epoch."""
        return Visit(int(self) % size, (self.epoch << 20) + int(self) // size)

    def __reduce__(self) -> tuple[Any, ...]:
        return Visit, (int(self), self.epoch)


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """mmengine's ``DefaultSampler``, of `Visit`."""

    def __iter__(self) -> Iterator[int]:
        for number in super().__iter__():
            yield Visit(number, self.epoch)


@DATA_SAMPLERS.register_module()
class InfiniteEpochSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler``, of `Visit`.

    An epoch is over when all ranks together have loaded each image once.
    """

    def _indices_of_rank(self) -> Iterator[int]:
        places = super()._indices_of_rank()
        for turn, number in enumerate(places):
            place = turn * self.world_size + self.rank
            yield Visit(number, place // self.size)
