"""Old files go, so that visitors leave nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KEPT = 600  # seconds that a drawing stays on the disk
_SWEEP = 60  # seconds between two looks for older ones


def sweep(folder: Path, age: float) -> None:
    """Remove the files in it, at any depth, that are older (seconds)."""
    now = time.time()
    for path in folder.rglob('*'):
        with suppress(OSError):  # another one removed it
            if path.is_file() and now - path.stat().st_mtime > age:
                path.unlink()


@contextmanager
def swept(
    folder: Path, age: float = KEPT, every: float = _SWEEP
) -> Iterator[None]:
    """Meanwhile nothing in the folder gets much older than ``age`` seconds."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(every):
            sweep(folder, age)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
