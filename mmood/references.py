"""Variables of a config that are looked up late, when it is loaded.

A text config of MMEngine computes its values while its file is run, before
another config overrides a variable. A reference ``'$name'`` waits for that.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence

from mmengine.config import Config, ConfigDict

from mmood.config import ConfigError

_WHOLE = re.compile(r'\$([A-Za-z_][\w.]*)')
_PART = re.compile(r'\$\{([A-Za-z_][\w.]*)\}')


def expand(cfg: Config) -> None:
    """Put the variables in the place of their references, at any depth.

    A string ``'$name'`` becomes a copy of the config's variable of this name
    (``'$a.b'``: of a part of one), and ``'${name}'`` within a longer string
    its text. Nothing is evaluated. The scope that MMEngine gives to parts of
    an ``mmood::`` base goes: there too types of ours have a prefix, others
    are of the config's default scope. Raises ConfigError, with the key, for a
    name that is not there and for variables that refer to themselves.
    """
    for key in list(cfg):
        cfg[key] = _expanded(cfg, cfg[key], key, ())


def _expanded(
    cfg: Config, value: object, where: str, within: tuple[str, ...]
) -> object:
    if isinstance(value, Mapping):
        return ConfigDict(
            {
                k: _expanded(cfg, v, f'{where}.{k}', within)
                for k, v in value.items()
                if (k, v) != ('_scope_', 'mmood')
            }
        )
    if isinstance(value, (list, tuple)):
        parts = [
            _expanded(cfg, v, f'{where}.{i}', within)
            for i, v in enumerate(value)
        ]
        return type(value)(parts)
    if not isinstance(value, str):
        return value
    whole = _WHOLE.fullmatch(value)
    if whole:
        return _variable(cfg, whole[1], where, within)
    return _PART.sub(
        lambda part: str(_variable(cfg, part[1], where, within)), value
    )


def _variable(
    cfg: Config, name: str, where: str, within: tuple[str, ...]
) -> object:
    if name in within:
        circle = ' -> '.join(f'${one}' for one in (*within, name))
        raise ConfigError(f'{where}: {circle} goes in a circle')
    value: object = cfg
    for step in name.split('.'):
        if isinstance(value, str):  # a reference on the way
            value = _expanded(cfg, value, where, (*within, name))
        value = _step(value, step, name, where, cfg)
    value = copy.deepcopy(value)
    return _expanded(cfg, value, where, (*within, name))


def _step(
    value: object, step: str, name: str, where: str, cfg: Config
) -> object:
    try:
        if isinstance(value, (list, tuple)):
            return value[int(step)]
        return value[step]  # type: ignore[index]
    except (KeyError, IndexError, TypeError, ValueError):
        raise ConfigError(
            f'{where} refers to ${name}, and the config has no variable '
            f'{name}; it has {", ".join(sorted(cfg))}'
        ) from None


def open_path(cfg: Config, steps: Sequence[str | int]) -> None:
    """Replace the references that lie on a path by what they refer to."""
    value: object = cfg
    for depth, step in enumerate(steps[:-1]):
        is_list = isinstance(value, list)
        key = int(step) if is_list and str(step).isdigit() else step
        try:
            inner = value[key]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return
        while isinstance(inner, str) and _WHOLE.fullmatch(inner):
            where = '.'.join(map(str, steps[: depth + 1]))
            inner = _lookup(cfg, inner, where)
            value[key] = inner  # type: ignore[index]
            inner = value[key]  # type: ignore[index]
        value = inner


def _lookup(cfg: Config, reference: str, where: str) -> object:
    """What a reference is of, with the references in it as they are."""
    name, value = reference[1:], cfg
    for step in name.split('.'):
        value = _step(value, step, name, where, cfg)
    return copy.deepcopy(value)


def check_resolved(name: str, value: object) -> None:
    """Raise ConfigError if a part is given a reference for a value."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        raise ConfigError(
            f'{name}={value!r} is a reference that nobody looked up: '
            "MMSegmentation's test tool does not. With this config use `mim "
            'test mmood` or tools/test.py; with that tool, the config that '
            'the training wrote into its work folder'
        )
