"""Features on disk: shards that are memory-mapped, checked and resumable.

A folder has ``cache.json`` and, per shard, ``shard_N.npy`` (M, C),
``shard_N.labels.npy`` (M,) uint8 and ``shard_N.json`` with the maps it
holds, written last: a shard without it does not count. Loading executes no
code (no pickles).

Shapes: M vectors of a shard, C channels, h x w the map of an image.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmood.ops import atomic_write, read_json, write_json
from mmood.ops.coco_records import shorten

_ABOUT = 'cache.json'
_MOST_SHARDS = 10**6
# Suffix, dimensions and types of a shard's files.
_ARRAYS = (('.npy', 2, ('<f2', '<f4')), ('.labels.npy', 1, ('|u1',)))


class CorruptShardError(ValueError):
    """A shard cannot be what was written."""


def open_folder(folder: str | Path, about: Mapping) -> None:
    """Make a cache folder, or make sure that it holds just this.

    Raises ValueError if the folder's ``cache.json`` says something else or
    is broken.
    """
    path = Path(folder) / _ABOUT
    if not path.is_file():
        write_json(path, dict(about))
        return
    found = _read_about(path)
    differ = sorted(k for k in about if found.get(k) != about[k])
    if differ:
        key = differ[0]
        raise ValueError(
            f'{folder} holds features of another extraction ({key} is '
            f'{found.get(key)!r}, now {about[key]!r}): choose another '
            'folder or delete it'
        )


def is_complete(folder: str | Path, number: int) -> bool:
    """Whether a shard was written to its end."""
    return (_stem(folder, number).with_suffix('.json')).is_file()


def write_shard(
    folder: str | Path,
    number: int,
    maps: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
) -> None:
    """Write maps (C, h, w) and their labels (h, w), whole or not at all."""
    stem = _stem(folder, number)
    features = np.concatenate([m.reshape(len(m), -1).T for m in maps])
    flat = np.concatenate([part.ravel() for part in labels]).astype(np.uint8)
    if len(flat) != len(features):
        raise ValueError(
            f'labels of {len(flat)} pixels for {len(features)} features'
        )
    about: dict = dict(sizes=[m.shape[1:] for m in maps])
    for suffix, values in (('.npy', features), ('.labels.npy', flat)):
        values = np.ascontiguousarray(values)
        path = stem.with_name(stem.name + suffix)
        with atomic_write(path, 'wb') as file:
            np.save(file, values)
        about[suffix] = zlib.crc32(values.data)
    write_json(stem.with_suffix('.json'), about)


class FeatureCache:
    """All shards of a folder as one array of vectors, and as maps.

    Args:
        folder: what ``tools/extract_features.py`` wrote.
        verify: read every byte and compare checksums, not only sizes.

    Raises FileNotFoundError if the folder is no cache or misses shards,
    ValueError if ``cache.json`` is broken, and CorruptShardError naming the
    shard that is damaged.
    """

    def __init__(self, folder: str | Path, verify: bool = False) -> None:
        self.folder = Path(folder)
        path = self.folder / _ABOUT
        if not path.is_file():
            raise FileNotFoundError(
                f'{folder} has no {_ABOUT}: make it with '
                'tools/extract_features.py CONFIG SEGMENTOR --out FOLDER'
            )
        self.about = _read_about(path)
        count = self.about['num_shards']
        missing = [n for n in range(count) if not is_complete(folder, n)]
        if missing:
            raise FileNotFoundError(
                f'{folder} lacks {len(missing)} of {count} shards: run '
                'tools/extract_features.py again, it goes on where it stopped'
            )
        shards = [_open_shard(folder, n, verify) for n in range(count)]
        self._features = [shard[0] for shard in shards]
        channels = [part.shape[1] for part in self._features]
        for number, found in enumerate(channels):
            if found != channels[0]:
                path = _stem(folder, number).with_suffix('.npy')
                raise _corrupt(path, f'{found} channels, not {channels[0]}')
        self._starts = np.cumsum([0, *map(len, self._features)])
        self.labels = np.concatenate([shard[1] for shard in shards])
        self._maps = [
            (n, start, size)
            for n, shard in enumerate(shards)
            for start, size in _places(shard[2])
        ]

    def __len__(self) -> int:
        """The number of maps."""
        return len(self._maps)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Features of ascending row numbers (n,) -> (n, C)."""
        shards = np.searchsorted(self._starts, rows, side='right') - 1
        parts = [
            self._features[n][rows[shards == n] - self._starts[n]]
            for n in np.unique(shards)
        ]
        return np.concatenate(parts)

    def map(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Features (C, h, w) and labels (h, w) of an image."""
        number, start, (height, width) = self._maps[index]
        end = start + height * width
        features = self._features[number][start:end]
        first = self._starts[number]
        labels = self.labels[first + start : first + end]
        return (
            features.T.reshape(-1, height, width),
            labels.reshape(height, width),
        )


def _read_about(path: Path) -> dict:
    """What ``cache.json`` says; ValueError if that is not what is written."""
    try:
        about = read_json(path)
    except ValueError as error:
        raise ValueError(f'{error}; delete {path.parent}') from error
    count = about.get('num_shards') if isinstance(about, dict) else None
    if type(count) is not int or not 0 < count <= _MOST_SHARDS:
        raise ValueError(
            f'{path} must have the number of shards as num_shards, a whole '
            f'number up to {_MOST_SHARDS}, got {shorten(count)}; delete '
            f'{path.parent}'
        )
    return about


def _read_sizes(path: Path) -> tuple[dict, list]:
    """What a shard's record says; ``sizes`` are (h, w) of its maps."""
    try:
        about = read_json(path)
    except ValueError as error:
        raise _corrupt(path, str(error)) from error
    sizes = about.get('sizes') if isinstance(about, dict) else None
    if not isinstance(sizes, list) or not all(map(_is_size, sizes)):
        raise _corrupt(path, 'it must have sizes, [height, width] of each map')
    return about, sizes


def _is_size(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(type(side) is int and side > 0 for side in value)


def _open_shard(folder: str | Path, number: int, verify: bool) -> tuple:
    stem = _stem(folder, number)
    about, sizes = _read_sizes(stem.with_suffix('.json'))
    arrays = []
    for suffix, dims, kinds in _ARRAYS:
        path = stem.with_name(stem.name + suffix)
        try:
            array = np.lib.format.open_memmap(path, mode='r')
        except (OSError, ValueError, EOFError) as error:
            raise _corrupt(path, str(error)) from error
        if array.ndim != dims or array.dtype.str not in kinds:
            what = f'{array.dtype} of shape {array.shape}'
            raise _corrupt(path, f'it holds {what}')
        if verify and zlib.crc32(array.data) != about.get(suffix):
            raise _corrupt(path, 'its checksum differs')
        arrays.append(array)
    count = sum(h * w for h, w in sizes)
    if not len(arrays[0]) == len(arrays[1]) == count:
        raise _corrupt(stem.with_suffix('.npy'), f'it must have {count} rows')
    return (*arrays, sizes)


def _corrupt(path: Path, why: str) -> CorruptShardError:
    return CorruptShardError(
        f'{path} is damaged ({why}): delete {path.name.split(".")[0]}.json '
        'and run tools/extract_features.py again'
    )


def _places(sizes: Sequence[Sequence[int]]) -> list[tuple[int, tuple]]:
    starts = np.cumsum([0, *(h * w for h, w in sizes)])
    return [(int(s), (h, w)) for s, (h, w) in zip(starts, sizes)]


def _stem(folder: str | Path, number: int) -> Path:
    return Path(folder) / f'shard_{number:05d}'
