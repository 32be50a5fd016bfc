"""Outputs of a network on disk, each under the content of its input.

A file per picture, ``FOLDER/NETWORK/ab/abcd....pt``, written whole or not at
all and read without executing code, so that any number of processes may read
and write at once.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar, Union, cast

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmood.ops import atomic_write, write_json

Maps = Union[Tensor, list, tuple, dict]
T = TypeVar('T')  # such maps, of the same form before and after


def picture_key(picture: Tensor) -> str:
    """A hash of a picture's values, shape and type."""
    array = picture.detach().cpu().contiguous().numpy()
    found = hashlib.blake2b(repr((array.shape, array.dtype)).encode())
    found.update(array.tobytes())
    return found.hexdigest()[:32]


def digest(config: Mapping, state: Mapping[str, Tensor]) -> str:
    """A hash of a network's config and of all that is in its state."""
    found = hashlib.blake2b(repr(sorted(config.items())).encode())
    for name, value in sorted(state.items()):
        value = value.detach().cpu().contiguous()
        found.update(repr((name, value.shape, value.dtype)).encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def map_tensors(function: Callable[[Tensor], Tensor], maps: T) -> T:
    """The same lists, tuples and dicts with the function's results."""
    found: Any = maps
    if isinstance(maps, Mapping):
        found = {k: map_tensors(function, part) for k, part in maps.items()}
    elif isinstance(maps, (list, tuple)):
        kind: Callable = type(maps)
        found = kind(map_tensors(function, part) for part in maps)
    else:
        found = function(found)
    return found


def split(maps: Maps, count: int) -> list[Maps]:
    """Outputs of a batch -> those of each of its pictures."""
    return [map_tensors(itemgetter(i), maps) for i in range(count)]


def stack(parts: list[Maps]) -> Maps:
    """Outputs of pictures -> those of a batch; the inverse of `split`."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {k: stack([part[k] for part in parts]) for k in first}
    if isinstance(first, (list, tuple)):
        return type(first)(stack([*found]) for found in zip(*parts))
    return torch.stack([x.float() for x in cast('list[Tensor]', parts)])


class OutputStore:
    """Files of outputs below ``root``, up to ``max_gigabytes`` in all.

    Damaged files count as missing. When the folder is full nothing more is
    written, and a warning says what share of the pictures was found.
    """

    def __init__(self, root: str | Path, max_gigabytes: float) -> None:
        self.root, self.max_gigabytes = Path(root), max_gigabytes
        self._size = -1.0  # bytes; unknown until the first file is written
        self._found = self._asked = 0
        self._is_full = False

    def open(self, name: str, config: Mapping) -> None:
        """Say in the folder of a network whose outputs these are."""
        path = self.root / name / 'network.json'
        if not path.is_file():
            write_json(path, {k: str(v) for k, v in config.items()}, indent=1)

    def read(self, name: str, key: str) -> Maps | None:
        """What was written, in its own type; None if there is nothing."""
        self._asked += 1
        try:
            kept = torch.load(
                self._path(name, key), 'cpu', weights_only=True, mmap=True
            )
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            return None
        self._found += 1
        return kept

    def write(
        self, name: str, key: str, maps: Maps, dtype: torch.dtype
    ) -> None:
        """Keep the outputs of a picture in this type."""
        if self._size < 0:
            files = self.root.rglob('*.pt')
            self._size = float(sum(path.stat().st_size for path in files))
        if self._size > self.max_gigabytes * 1e9:
            self._say_full()
            return
        kept = map_tensors(lambda x: x.detach().cpu().to(dtype).clone(), maps)
        path = self._path(name, key)
        with atomic_write(path, 'wb', sync=False) as file:
            torch.save(kept, file)
        self._size += path.stat().st_size

    def _say_full(self) -> None:
        if not self._is_full:
            share = self._found / max(self._asked, 1)
            print_log(
                f'{self.root} is full (max_gigabytes={self.max_gigabytes:g}): '
                f'nothing more is kept. {share:.0%} of the pictures were '
                'found there; pictures that are drawn anew each time, as by '
                'random crops, never are',
                logger='current',
                level=30,
            )
        self._is_full = True

    def _path(self, name: str, key: str) -> Path:
        return self.root / name / key[:2] / f'{key}.pt'
