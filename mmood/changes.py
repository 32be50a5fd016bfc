"""What differs between two configs, and how to change one in the same way."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Union

from mmengine.config import Config, ConfigDict

from mmood.references import open_path

Path = tuple[Union[str, int], ...]
GONE = object()  # in the place of a value: the key is not there any more


def difference(old: object, new: object, path: Path = ()) -> Iterator[tuple]:
    """(path, new value) of what is not as in ``old``.

    Dicts are compared key by key, lists of one length place by place; what
    else differs, a tuple too, is one change. A key that is gone has the
    value `GONE`.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            if key not in new:
                yield (*path, key), GONE
            elif key not in old:
                yield (*path, key), new[key]
            else:
                yield from difference(old[key], new[key], (*path, key))
        return
    both_lists = isinstance(old, list) and isinstance(new, list)
    if both_lists and len(old) == len(new):
        for i, pair in enumerate(zip(old, new)):
            yield from difference(*pair, (*path, i))
    elif _plain(old) != _plain(new):
        yield path, new


def _plain(value: object) -> object:
    """With lists for tuples, which a file of YAML or an option has not."""
    is_list = isinstance(value, (list, tuple))
    return (list, list(value)) if is_list else (type(value), value)


def apply(cfg: Config, changes: list[tuple]) -> None:
    """Make the changes, in place; references on the way are looked up.

    A place that is not there is left alone, unless a dict can take it.
    """
    for path, value in changes:
        open_path(cfg, path)
        parent, last = _at(cfg._cfg_dict, path[:-1]), path[-1]
        if isinstance(parent, list):
            if isinstance(last, int) and last < len(parent):
                parent[last] = _config(value)
        elif isinstance(parent, Mapping):
            if value is GONE:
                parent.pop(last, None)
            else:
                parent[last] = _config(value)


def _at(value: object, path: Path) -> object:
    for step in path:
        if isinstance(value, Mapping):
            value = value.setdefault(step, ConfigDict())
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        else:
            return None
    return value


def _config(value: object) -> object:
    return ConfigDict(value=copy.deepcopy(value))['value']
