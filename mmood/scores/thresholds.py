"""Thresholds that belong to the scores they were calibrated for."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .score_set import ScoreSet

NAN = float('nan')
_CODE = '.arguments'  # in state dicts, behind the name of a score
_TAKEN = ('data', 'is_ood', 'shape', 'thresholds')  # beside scores


def check_score_name(name: object, owner: nn.Module) -> None:
    """Raises ValueError for a name that ``owner`` cannot store state under.

    It becomes a part of metric names (``/``), of the checkpoint's keys
    (``.``) and of file names.
    """
    if not isinstance(name, str) or not name or set(name) & set('./\\\0'):
        raise ValueError(
            f"a score's name must be text without '.', '/' and '\\', got "
            f'{name!r}: set name'
        )
    if name in _TAKEN or (name in dir(owner) and name not in owner._modules):
        raise ValueError(
            f'a score cannot be called {name!r}, which '
            f'{type(owner).__name__} uses itself: set another name'
        )


class Thresholds(nn.Module):
    """The value of each score above which a sample is OOD, by name.

    One buffer a score, of its name, nan as long as it is not calibrated:
    nothing exceeds nan. So another order of the scores, one more or one less
    in the list cannot give a score the threshold of another. Loading takes
    what there is of these names, made with the same ``arguments`` of the
    score (by name), and leaves the rest nan. Why it did although the
    checkpoint has thresholds is in ``reasons``, by name, for those who miss
    one: a training need not, it makes its own.
    """

    def __init__(
        self,
        names: Sequence[str],
        arguments: Mapping[str, Mapping] | None = None,
    ) -> None:
        super().__init__()
        self._names = tuple(names)
        self.reasons: dict[str, str] = {}
        self._codes = {
            k: arguments_code(v) for k, v in (arguments or {}).items() if v
        }
        for name in self._names:
            check_score_name(name, self)
            self.register_buffer(name, torch.tensor(NAN))

    @property
    def exact_buffers(self) -> tuple[str, ...]:
        return self._names

    def __getitem__(self, name: str) -> Tensor:
        """That of a score, nan for one that is not in the list."""
        if name in self._names:
            return getattr(self, name)
        return torch.full_like(getattr(self, self._names[0]), NAN)

    def forget(self) -> None:
        """Make all of them nan."""
        for buffer in self.buffers():
            buffer.fill_(NAN)

    def _save_to_state_dict(
        self, destination: dict, prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, code in self._codes.items():
            destination[f'{prefix}{name}{_CODE}'] = torch.tensor(code)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        self.reasons = self._other_scores(state_dict, prefix)
        for name, buffer in self.named_buffers():
            value = float(state_dict.get(prefix + name, NAN))
            code = int(state_dict.get(f'{prefix}{name}{_CODE}', 0))
            if value == value and code != self._codes.get(name, 0):
                value = NAN
                self.reasons[name] = (
                    f'the threshold of {name} was calibrated for this score '
                    'with other arguments, and is left out'
                )
            buffer.fill_(value)

    def _other_scores(self, state_dict: dict, prefix: str) -> dict[str, str]:
        """The reason, if a checkpoint has thresholds, but not the first."""
        others = [
            key.removeprefix(prefix)
            for key, value in state_dict.items()
            if key.startswith(prefix)
            and not key.endswith(_CODE)
            and float(value) == float(value)
        ]
        first = self._names[0]
        if not others or first in others:
            return {}
        reason = (
            f'the checkpoint has thresholds for {", ".join(others)}, not for '
            f'{first}, the first score'
        )
        return {first: reason}


def arguments_code(arguments: Mapping) -> int:
    """A number for what a score was configured with."""
    text = json.dumps(arguments, sort_keys=True, default=str)
    return zlib.crc32(text.encode())


class FirstThreshold(nn.Module):
    """Part of a module with a `ScoreSet` ``scores``, before its parents.

    ``ood_threshold`` is the threshold of the first score. In state dicts it
    stands beside those by name, for whoever wants to read it; loading goes
    by name.
    """

    scores: ScoreSet

    @property
    def ood_threshold(self) -> Tensor:
        return self.scores.thresholds[self.scores.first]

    def _save_to_state_dict(
        self, destination: dict, prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        value = self.ood_threshold
        value = value if keep_vars else value.detach()
        destination[f'{prefix}ood_threshold'] = value

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        state_dict.pop(f'{prefix}ood_threshold', None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
