"""Checkpoints of MMEngine under torch's safe loading.

torch >= 2.6 refuses, by default, every type in a file that is not a tensor
or a plain container, and MMEngine 0.10 stores loss histories and numpy
scalars. The types named here hold data only; nothing else is let in, so that
a downloaded file still cannot run code.
"""

from __future__ import annotations

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


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
