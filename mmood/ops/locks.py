"""Locks of folders, so that one run at a time writes to them."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .coco import read_json
from .files import NotWrittenError, is_alive, sweep, write_json

_LOCK = '.mmood-lock'
_HOLDER = '.mmood-holder.json'
_PATIENCE = 60  # seconds that data workers of a killed run may live on


class FolderInUseError(RuntimeError):
    """Another run writes to the folder."""


@contextmanager
def lock_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Have a folder alone; it is made if need be.

    The lock ends with the process, however that ends. What killed writers
    left in the folder is removed. Raises FolderInUseError, with the process
    that has it, and NotWrittenError if there can be no lock.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        _acquire(lock, folder)
    except OSError as error:
        if isinstance(error, Timeout):
            raise FolderInUseError(_explain(folder)) from None
        raise NotWrittenError(
            f'cannot lock {folder}: {error.strerror or error}; set the rights '
            'or choose another folder'
        ) from error
    try:
        write_json(folder / _HOLDER, _this_process())
        sweep(folder)
        yield
    finally:
        with suppress(OSError):
            (folder / _HOLDER).unlink()
        lock.release()


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = _holder(folder)
        here = holder.get('host') == socket.gethostname()
        if not here or is_alive(holder['pid']):
            raise
        lock.acquire(timeout=_PATIENCE)


def _this_process() -> dict:
    return dict(
        pid=os.getpid(),
        host=socket.gethostname(),
        command=shlex.join(sys.argv),
        since=time.strftime('%Y-%m-%d %H:%M:%S'),
    )


def _holder(folder: Path) -> dict:
    """Who has the lock; empty while that is being written."""
    try:
        holder = read_json(folder / _HOLDER)
    except (OSError, ValueError):
        return {}
    is_whole = isinstance(holder, dict) and isinstance(holder.get('pid'), int)
    return holder if is_whole else {}


def _explain(folder: Path) -> str:
    holder = _holder(folder)
    who = 'another run'
    if holder:
        who = (
            f'process {holder["pid"]} on {holder.get("host")}, since '
            f'{holder.get("since")} ({holder.get("command")})'
        )
    return (
        f'{folder} is in use by {who}: wait for its end, stop it, or choose '
        'another folder'
    )
