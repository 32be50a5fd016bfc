"""Unknown boxes on disk while they are being found.

A shard is what was found in ``images_per_shard`` consecutive images, one file
that is whole as soon as it is there. So a run that was stopped goes on, ranks
share the work by the shards' numbers, and memory does not grow with the
images. Shapes: n boxes of a shard, C feature channels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from mmood.ops import read_json, write_arrays, write_json

_MARKER = 'mining.json'


@dataclass
class Shard:
    """What was found in some images.

    image: (n,) place of the image in the list of all.
    boxes: (n, 4) corners (x1, y1, x2, y2) in pixels of the image.
    confidence, ood_score, label: (n,) what the detector says of a box.
    features: (n, C) float16.
    crop_sizes: (n,) bytes of each crop's JPEG in ``crops``, in a row.
    sizes: (images, 2) width and height of each image, 0 for one that cannot
        be read.
    """

    image: np.ndarray
    boxes: np.ndarray
    confidence: np.ndarray
    ood_score: np.ndarray
    label: np.ndarray
    features: np.ndarray
    crop_sizes: np.ndarray
    crops: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def crop(self, box: int) -> bytes:
        start = int(self.crop_sizes[:box].sum())
        return self.crops[start : start + self.crop_sizes[box]].tobytes()


def write_shard(path: str | os.PathLike, shard: Shard) -> None:
    """The whole file or none."""
    names = [field.name for field in fields(Shard)]
    write_arrays(str(path), {name: getattr(shard, name) for name in names})


def read_shard(path: str | os.PathLike) -> Shard:
    """Raises ValueError, with the remedy, for a broken file."""
    try:
        with np.load(path) as file:
            return Shard(**file)
    except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
        raise ValueError(
            f'{path} cannot be read ({error}): remove it and run again, '
            'which makes it anew'
        ) from error


class ShardFolder:
    """The shards of one run in a folder.

    Args:
        folder: where they are, or will be.
        about: all that changes what is found, of values that JSON knows;
            with ``images``, their number, and ``images_per_shard``.
    """

    def __init__(self, folder: str | os.PathLike, about: Mapping) -> None:
        self.folder, self.about = Path(folder), dict(about)

    def open(self) -> None:
        """Write what the run is, or compare it with what is there.

        Raises ValueError, with the first difference, for a folder that
        another run has begun.
        """
        path = self.folder / _MARKER
        if not path.is_file():
            write_json(path, self.about, indent=2)
            return
        before = read_json(path)
        for key in sorted({*before, *self.about}):
            old, new = before.get(key), self.about.get(key)
            if old != new:
                raise ValueError(
                    f'{self.folder} was begun with {key} = {old!r}, and now '
                    f'it is {new!r}: give the first one to go on, or another '
                    '--out'
                )

    @property
    def count(self) -> int:
        return -(-self.about['images'] // self.about['images_per_shard'])

    def path(self, number: int) -> Path:
        return self.folder / f'{number:06d}.npz'

    def images(self, number: int) -> range:
        """Places of a shard's images in the list of all."""
        size = self.about['images_per_shard']
        end = min((number + 1) * size, self.about['images'])
        return range(number * size, end)

    def own(self, rank: int, ranks: int) -> Sequence[int]:
        """Numbers of the shards that a rank finds."""
        return range(rank, self.count, ranks)

    def __iter__(self) -> Iterator[Shard]:
        """All shards in the order of the images, one in memory at a time."""
        for number in range(self.count):
            yield read_shard(self.path(number))


class TopScores:
    """The highest of many scores; remembers ``count`` numbers."""

    def __init__(self, count: int) -> None:
        self._count, self._best = count, np.zeros(0)

    def add(self, scores: np.ndarray) -> None:
        best = np.concatenate([self._best, scores])
        if len(best) > self._count:
            best = np.partition(best, -self._count)[-self._count :]
        self._best = best

    @property
    def least(self) -> float:
        """What a score needs to be among them; others cannot be any more."""
        full = len(self._best) >= self._count
        return float(self._best.min()) if full else -np.inf


def chosen_boxes(shards: ShardFolder, top: int | None) -> Iterator[np.ndarray]:
    """Of each shard the places (m,) of the boxes that are kept.

    All, or the ``top`` highest scores of all; the first ones of those that
    are equal.
    """
    if top is None:
        for shard in shards:
            yield np.arange(len(shard))
        return
    best, above = TopScores(top), 0
    for shard in shards:
        best.add(shard.ood_score)
    for shard in shards:
        above += int((shard.ood_score > best.least).sum())
    left = top - above  # of those at the limit
    for shard in shards:
        is_at = shard.ood_score == best.least
        is_at &= np.cumsum(is_at) <= left
        left -= int(is_at.sum())
        yield np.flatnonzero((shard.ood_score > best.least) | is_at)
