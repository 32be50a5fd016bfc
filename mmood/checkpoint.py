"""Checkpoints of MMEngine: under torch's safe loading, and the newest whole.

torch >= 2.6 refuses, by default, every type in a file that is not a tensor
or a plain container, and MMEngine 0.10 stores loss histories and numpy
scalars. The types named here hold data only; nothing else is let in, so that
a downloaded file still cannot run code.
"""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

_FOR_RESUME = ('state_dict', 'meta', 'message_hub')


class CheckpointError(ValueError):
    """A file is no checkpoint; says which and why."""


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


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(
    filename: str | os.PathLike, map_location: str | None = None
) -> dict:
    """What a checkpoint file holds, for MMEngine, whose loader it replaces.

    Raises CheckpointError, with the file, for one that is missing or broken,
    that could run code, and for what is no checkpoint.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise CheckpointError(f'there is no checkpoint {path}: check the path')
    content, problem = _read(path, map_location)
    if problem:
        raise CheckpointError(
            f'the checkpoint {path} {problem}: fetch or make it again'
        )
    return content


def _read(path: Path, place: str | None) -> tuple[dict, str | None]:
    """A file's content, and what is wrong with it, {} then.

    Checksums are compared, as torch reads files with holes without a word.
    """
    # Before 2.4 torch cannot be told what MMEngine's files hold.
    is_safe = hasattr(torch.serialization, 'add_safe_globals')
    try:
        content = torch.load(path, place, weights_only=is_safe)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                broken = file.testzip()
            if broken:
                return {}, f'is damaged (the checksum of {broken} differs)'
    except Exception as error:  # broken files raise nearly everything
        return {}, f'cannot be read ({_reason(error)})'
    if not isinstance(content, dict):
        return {}, f'holds a {type(content).__name__}, no dict'
    meta = content.get('meta', {})
    parts = dict(state_dict=content.get('state_dict', {}), meta=meta)
    if isinstance(meta, dict):
        parts['dataset_meta'] = meta.get('dataset_meta') or {}
    for name, part in parts.items():
        if not isinstance(part, dict):
            kind = type(part).__name__
            return {}, f'has a {kind} as {name}, which must be a dict'
    return content, None


def _reason(error: Exception) -> str:
    """In a few words; without the advice to read pickles all the same."""
    named = re.search(r'GLOBAL (\S+)', str(error))
    if named:
        return f'it asks for {named[1]}, which is no data and could run code'
    text = str(error).split('. ')[0].split('\n')[0]
    return ': '.join(filter(None, [type(error).__name__, text]))


def check_weights(model: nn.Module, checkpoint: dict) -> None:
    """Raise CheckpointError if not one weight is the model's."""
    weights = checkpoint.get('state_dict', checkpoint)
    names = {str(name).removeprefix('module.') for name in weights}
    if names.isdisjoint(model.state_dict()):
        first = f', such as {min(names)!r},' if names else ''
        raise CheckpointError(
            f'none of the {len(names)} weights in the checkpoint{first} is '
            "one of the model's: take a checkpoint of a model of this config"
        )


def load_weights(model: nn.Module, path: str | os.PathLike) -> dict:
    """Load a checkpoint into a model; what the file holds.

    Raises CheckpointError as `load_from_local` and `check_weights` do.
    """
    checkpoint = load_checkpoint(model, str(path), map_location='cpu')
    check_weights(model, checkpoint)
    return checkpoint


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
    newest = sorted(others, key=_age, reverse=True)
    for path in filter(None, [marked, *newest]):
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
    """Why a training cannot go on from a file; None if it can."""
    content, problem = _read(path, 'cpu')
    if problem:
        return problem
    missing = [key for key in _FOR_RESUME if key not in content]
    return f'has no {missing[0]}' if missing else None
