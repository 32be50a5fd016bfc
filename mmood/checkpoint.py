"""Checkpoints of MMEngine: under torch's safe loading, and the newest whole.

torch >= 2.6 refuses, by default, every type in a file that is not a tensor
or a plain container, and MMEngine 0.10 stores loss histories and numpy
scalars. The types named here hold data only; nothing else is let in, so that
a downloaded file still cannot run code.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_FOR_RESUME = ('state_dict', 'meta', 'message_hub')


def history_buffer_attribute(owner: type, name: str) -> object:
    """``getattr`` for `HistoryBuffer` alone, as its pickles ask for it.

    Raises AttributeError for every other owner.
    """
    if owner is not HistoryBuffer:
        raise AttributeError(
            f'a checkpoint asks for the attribute {name!r} of {owner!r}; '
            'only those of mmengine.logging.HistoryBuffer are let in. Load '
            'files from untrusted places never with weights_only=False.'
        )
    return getattr(owner, name)


def allow_checkpoint_types() -> None:
    """Let `torch.load` read what MMEngine's checkpoints hold (idempotent).

    Does nothing under torch < 2.4, which has no list of safe types.
    """
    if not hasattr(torch.serialization, 'add_safe_globals'):
        return
    array = (getattr(np, '_core', None) or np.core).multiarray
    types = [
        HistoryBuffer,
        bytes,  # an empty array's content
        np.ndarray,
        np.dtype,
        *{type(np.dtype(code)) for code in '?bBhHiIlLqQefd'},
    ]
    named = [
        *(
            (function, f'numpy.{core}.multiarray.{function.__name__}')
            for core in ('core', '_core')
            for function in (array.scalar, array._reconstruct)
        ),
        (history_buffer_attribute, 'builtins.getattr'),
        (history_buffer_attribute, 'getattr'),
    ]
    torch.serialization.add_safe_globals(types + named)


def last_checkpoint(folder: Path) -> Path | None:
    """That of the folder's marker, also if it was moved; None: there is none.

    A checkpoint lies beside the marker, whatever path that says.
    """
    try:
        name = (folder / 'last_checkpoint').read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    path = folder / Path(name).name
    return path if path.is_file() else None


def find_resumable(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that a training can go on from, if there is one.

    That of the marker, or else the readable one with the highest number in
    its name; not the best ones, which have no state of the optimizer. Also
    says what was passed over, and why.
    """
    marker, marked = folder / 'last_checkpoint', last_checkpoint(folder)
    others = set(folder.glob('*.pth')) - {marked, *folder.glob('best_*')}
    passed = []
    if marked is None and marker.exists():
        passed.append(f'{marker} names no file that is there')
    elif marked is None and others:
        passed.append(f'{marker} is missing')
    others = sorted(others, key=_age, reverse=True)
    for path in filter(None, [marked, *others]):
        problem = resume_problem(path)
        if problem is None:
            return path, passed
        passed.append(f'{path} {problem}')
    return None, passed


def _age(path: Path) -> tuple[int, float]:
    """The number in the name, of iterations or epochs, and the time."""
    numbers = re.findall(r'\d+', path.stem)
    return int(numbers[-1]) if numbers else -1, path.stat().st_mtime


def resume_problem(path: Path) -> str | None:
    """Why a training cannot go on from a file; None if it can.

    Checksums are compared, as torch reads files with holes without a word.
    """
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                broken = file.testzip()
            if broken:
                return f'is damaged (the checksum of {broken} differs)'
    except Exception as error:  # broken files raise nearly everything
        reason = str(error).split('. ')[0] or type(error).__name__
        return f'cannot be read ({reason})'
    if not isinstance(content, dict):
        return 'is no checkpoint'
    missing = [key for key in _FOR_RESUME if key not in content]
    return f'has no {missing[0]}' if missing else None
