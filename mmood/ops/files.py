"""Writing files so that a reader never finds half of one."""

from __future__ import annotations

import itertools
import json
import math
import os
import socket
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

_HOST = socket.gethostname()
_DAY = 24 * 3600  # seconds
_numbers = itertools.count()
_swept: set[Path] = set()


class NotWrittenError(OSError):
    """A file could not be written; nothing of it is left."""


@contextmanager
def atomic_write(
    path: str | os.PathLike,
    mode: str = 'w',
    *,
    sync: bool = True,
    **kwargs: Any,
) -> Iterator[IO]:
    """Open a file that takes the place of ``path`` when the block ends well.

    Until then ``path`` stays as it was, and after an error too: what was
    written goes to a hidden file beside it, which is then removed. If the
    process is killed it stays, until a later one writes into that folder.
    Missing folders are made. Without ``sync`` a power cut can leave an empty
    file, which is for files that can be made again. ``mode`` and ``kwargs``
    are those of `open`; text is UTF-8, with what is none of it as
    ``\\udc80``.

    Raises NotWrittenError, with the path and the cause, if the disk is full,
    the folder is read-only and the like.
    """
    path = Path(os.path.realpath(path))
    if 'b' not in mode:
        kwargs.setdefault('encoding', 'utf-8')
        # Names of files may be no UTF-8.
        kwargs.setdefault('errors', 'backslashreplace')
    name = f'.mmood-{_HOST}-{os.getpid()}-{next(_numbers)}.part'
    partial = path.with_name(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _swept:
            sweep(path.parent)
            _swept.add(path.parent)
        with open(partial, mode, **kwargs) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        cause = _cause(error, [path, partial])
        if cause is None:
            raise
        raise NotWrittenError(
            f'cannot write {path}: {cause.strerror or cause}; make room or '
            'set the rights'
        ) from error


def write_json(
    path: str | os.PathLike, content: object, indent: int | None = None
) -> None:
    """Write JSON that any reader takes: nan and infinity become null.

    Raises NotWrittenError as `atomic_write` does.
    """
    text = json.dumps(_finite(content), allow_nan=False, indent=indent)
    with atomic_write(path) as file:
        file.write(text)


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` whose arrays have any names.

    `numpy.savez` has arguments of its own, such as ``file``.
    """
    with (
        atomic_write(path, 'wb') as file,
        zipfile.ZipFile(file, 'w') as zipped,
    ):
        for name, values in arrays.items():
            with zipped.open(f'{name}.npy', 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, values)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return None if is_odd else value


def _cause(error: BaseException, paths: list[Path]) -> OSError | None:
    """What kept a file from being written; None: something else failed.

    `torch.save` makes a RuntimeError of the one that it got.
    """
    while isinstance(error, RuntimeError) and error.__context__:
        error = error.__context__
    if not isinstance(error, OSError):
        return None
    names = {None, *map(str, paths), *map(str, paths[0].parents)}
    return error if error.filename in names else None


def sweep(folder: str | os.PathLike) -> None:
    """Remove what killed writers left in a folder, not in those below it.

    Files of other computers go if they are older than a day.
    """
    for path in Path(folder).glob('.mmood-*-*-*.part'):
        host, process, _ = path.name[len('.mmood-') :].rsplit('-', 2)
        is_ours = host == _HOST and process.isdecimal()
        is_dead = is_ours and not is_alive(int(process))
        with suppress(OSError):
            if is_dead or time.time() - path.stat().st_mtime > _DAY:
                path.unlink()


def is_alive(process: int) -> bool:
    """Whether a process of this computer runs; True where none can tell."""
    if os.name != 'posix':  # there a signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
