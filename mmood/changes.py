"""What differs between two configs, and how to change one in the same way.

A change is a path and a value, ``(('model', 'neck', 0, 'type'), 'FPN')``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn, Union

from mmengine.config import Config, ConfigDict

from mmood.config import ConfigError
from mmood.references import open_path

Path = tuple[Union[str, int], ...]
Change = tuple[Path, object]
GONE = object()  # in the place of a value: the key is not there any more


def difference(old: object, new: object, path: Path = ()) -> Iterator[Change]:
    """What has to be changed in ``old`` to have ``new``.

    Dicts are compared key by key, unless one has taken the place of another
    type, and so are lists of dicts of the same types; what else differs is
    one change. A key that is gone has the value `GONE`.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if old.get('type') != new.get('type') and set(old) - set(new):
            yield path, {**new, '_delete_': True}
            return
        for key in {**old, **new}:
            if key not in new:
                yield (*path, key), GONE
            elif key not in old:
                yield (*path, key), new[key]
            else:
                yield from difference(old[key], new[key], (*path, key))
    elif _are_alike(old, new):
        for i, pair in enumerate(zip(old, new)):  # type: ignore[call-overload]
            before, after = pair
            yield from difference(before, after, (*path, i))
    elif old != new or type(old) is not type(new):
        yield path, new


def _are_alike(old: object, new: object) -> bool:
    """Whether both are lists of dicts that have the same types."""
    return (
        isinstance(old, list)
        and isinstance(new, list)
        and len(old) == len(new)
        and all(isinstance(part, Mapping) for part in (*old, *new))
        and all(a.get('type') == b.get('type') for a, b in zip(old, new))
    )


def merge_options(cfg: Config, options: Mapping[str, object]) -> None:
    """Merge ``{'a.b.0.c': value}``, also into what is a reference so far.

    Such a place gets a copy of the variable, which is changed there alone.
    Raises ConfigError for a reference to what is not there, and for a place
    in a list that is not there.
    """
    apply(cfg, changes_of(options))


def changes_of(options: Mapping[str, object]) -> list[Change]:
    return [(tuple(key.split('.')), value) for key, value in options.items()]


def apply(cfg: Config, changes: Iterable[Change]) -> None:
    """Make the changes, in place; references on the way are looked up.

    A dict goes into a dict that is there, as a child's into its base's.
    """
    for path, value in changes:
        open_path(cfg, path)
        parent: object = cfg._cfg_dict
        for step, following in zip(path, path[1:]):
            if isinstance(parent, Mapping) and parent.get(step) is None:
                if value is GONE:
                    break
                if str(following).isdigit():  # of a list that is not there
                    _refuse(path)
                parent[step] = ConfigDict()  # type: ignore[index]
            parent = parent[_index(parent, step, path)]  # type: ignore[index]
        else:
            _set(parent, path, value)


def _set(parent: object, path: Path, value: object) -> None:
    last = _index(parent, path[-1], path)
    if value is GONE:
        parent.pop(last, None)  # type: ignore[attr-defined]
        return
    value = ConfigDict(value=copy.deepcopy(value))['value']
    if isinstance(value, Mapping):
        there = part(parent, last)
        there = there if isinstance(there, Mapping) else {}
        merged = ConfigDict(copy.deepcopy(there))
        merged.merge(value)
        value = merged
    parent[last] = value  # type: ignore[index]


def _index(value: object, step: str | int, path: Path) -> str | int:
    """The step as a key of a dict or an index of a list."""
    if isinstance(value, Mapping):
        return step
    number = int(step) if str(step).isdigit() else None
    if not isinstance(value, list) or number is None or number >= len(value):
        _refuse(path)
    return number


def _refuse(path: Path) -> NoReturn:
    raise ConfigError(
        f'{".".join(map(str, path))} is to be changed, and the config has no '
        'such place: set the whole list, or tuple, instead'
    )


def part(value: object, step: str | int) -> object:
    """What is at a key or an index, or None."""
    if isinstance(value, Mapping):
        return value.get(step)
    if not isinstance(value, (list, tuple)) or not str(step).isdigit():
        return None
    return value[int(step)] if int(step) < len(value) else None


def leads_into(path: Path, made: object, plain: object) -> bool:
    """Whether a path goes through what ``made`` has and ``plain`` has not.

    A dict is the same in both if ``made`` has all of its keys, a list if it
    is as long. Of others the path is meant that goes on.
    """
    for step, following in zip(path, path[1:]):
        made, plain = part(made, step), part(plain, step)
        if made is None:
            return False
        if isinstance(made, Mapping) and isinstance(plain, Mapping):
            is_same = set(plain) <= set(made)
        else:
            is_same = (
                isinstance(made, list)
                and isinstance(plain, list)
                and len(made) == len(plain)
            )
        if not is_same:
            is_new = part(plain, following) is None
            takes = part(made, following) is not None
            return takes or (is_new and isinstance(made, Mapping))
    return False
