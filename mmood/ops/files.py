"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(
    path: str | os.PathLike, mode: str = 'w', **kwargs: object
) -> Iterator[IO]:
    """Open a file that takes the place of ``path`` when the block ends well.

    Until then ``path`` stays as it was, and after an error too: what was
    written goes to a hidden file beside it, which is then removed. ``mode``
    and ``kwargs`` are those of `open`; text is UTF-8.
    """
    path = Path(path)
    if 'b' not in mode:
        kwargs.setdefault('encoding', 'utf-8')
    partial = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with open(partial, mode, **kwargs) as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
