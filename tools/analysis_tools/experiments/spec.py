"""The spec of a table: which configs, seeds and options make its rows.

A Python or YAML file, read by mmengine; paths are relative to where the tool
is called. See `load_table` for the keys, `Row` for those of a row.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from mmood.config import ConfigError, read_config
from mmood.launch import OptionsAction

SEEDS = (0, 1, 2)
SEED = 'randomness.seed'
_KEYS = ('out', 'seeds', 'cfg_options', 'columns', 'rows')


@dataclass(frozen=True)
class Row:
    """A method of the table.

    Rows with one config share its training if they agree in ``cfg_options``,
    and its test if they agree in ``test_options`` too. Otherwise they need
    folders of their own, named by ``tag`` and ``test_tag``.

    Args:
        name: as the table prints it.
        config: file to train and test.
        score: one of the test's OOD scores; None: a line for each of them.
        cfg_options: overrides of the config, for training and test.
        test_options: overrides for the test alone.
        tag: end of the folder's name, ``OUT/CONFIG_TAG``.
        test_tag: end of the test folder's name, ``ood_TEST_TAG``.
        load_from: config whose checkpoint of the same seed training starts
            from; a row of it alone says with which options it is trained.
        cache: train on features of ``load_from``, extracted once per seed.
        max_seeds: run with so many of the spec's seeds; None: with all.
    """

    name: str
    config: Path
    score: str | None = None
    cfg_options: dict = field(default_factory=dict)
    test_options: dict = field(default_factory=dict)
    tag: str | None = None
    test_tag: str | None = None
    load_from: Path | None = None
    cache: bool = False
    max_seeds: int | None = None

    @property
    def folder(self) -> str:
        return '_'.join(filter(None, (self.config.stem, self.tag)))

    @property
    def test_folder(self) -> str:
        return '_'.join(filter(None, ('ood', self.test_tag)))


@dataclass(frozen=True)
class Table:
    """Rows x seeds in one folder; ``all_seeds`` are those of the spec.

    Raises ValueError if there is nothing to run, if a config is missing or
    if two rows would write different things into one folder.
    """

    out: Path
    seeds: Sequence[int]
    rows: Sequence[Row]
    columns: Sequence[str] | None = None
    all_seeds: Sequence[int] = ()

    def __post_init__(self) -> None:
        _check_seeds(self.seeds)
        names = [row.name for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        _require(names, 'rows is empty: a table needs at least one row')
        _require(not twice, f'names of rows must differ, got twice: {twice}')
        for row in self.rows:
            _check_row(row)
        _check_sharing(self.rows)

    def seeds_of(self, row: Row) -> list[int]:
        """Those of the table's seeds that a row is run with.

        ``max_seeds`` counts from the spec's list, so that processes with a
        seed each do not share a run, and from ``seeds`` if none is in it.
        """
        order = list(self.all_seeds)
        if not set(order) & set(self.seeds):
            order = []
        order += [seed for seed in self.seeds if seed not in order]
        return [seed for seed in self.seeds if seed in order[: row.max_seeds]]


def is_spec(content: dict) -> bool:
    """Whether a loaded file is a table's spec rather than a config."""
    return 'rows' in content or 'seeds' in content


def read(path: Path) -> dict:
    """A spec or config as a dict; ValueError if it cannot be read."""
    _require(path.is_file(), f'file {path} does not exist')
    try:
        return read_config(path, import_custom_modules=False).to_dict()
    except ConfigError:
        raise
    except Exception as error:  # whatever a Python file raises
        raise ValueError(f'{path} cannot be read: {error}') from error


def load_table(
    path: Path,
    out: Path | None = None,
    seeds: Sequence[int] | None = None,
    cfg_options: dict | None = None,
    row_keys: Sequence[str] = tuple(f.name for f in fields(Row)),
) -> Table:
    """The table of a spec; arguments other than None go before its keys.

    Keys: ``rows``, a list of dicts with the arguments of `Row`, or those of
    them in ``row_keys``; ``out``, the folder, by default ``work_dirs/NAME``
    by the spec's name; ``seeds``, by default 0, 1, 2; ``cfg_options`` for
    all rows, under their own ones; ``columns``, what is printed without
    ``--columns``.
    Raises ValueError for whatever cannot be run, naming the file.
    """
    try:
        content = read(path)
        _check_keys(content, _KEYS)
        rows, own = content.get('rows') or [], content.get('seeds', SEEDS)
        _check_seeds(own)
        _require(
            isinstance(rows, (list, tuple)),
            f'rows must be a list of dicts, got {rows!r}',
        )
        common = flatten(content.get('cfg_options') or {})
        above = cfg_options or {}
        return Table(
            Path(out or content.get('out') or f'work_dirs/{path.stem}'),
            seeds or own,
            [_load_row(row, common, above, row_keys) for row in rows],
            content.get('columns'),
            own,
        )
    except ValueError as error:
        raise ValueError(f'spec {path}: {error}') from error


def flatten(options: dict, prefix: str = '') -> dict:
    """Nested overrides by dotted keys, ``{'a': {'b': 1}} -> {'a.b': 1}``."""
    _require(
        isinstance(options, dict), f'options must be a dict, got {options!r}'
    )
    flat = {}
    for key, value in options.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def to_arguments(options: dict) -> list[str]:
    """Overrides as ``KEY=VALUE`` arguments that mmengine reads back alike.

    Raises ValueError for values that would not come back: dicts in lists,
    and text with spaces or commas or that looks like a number.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs=1, action=OptionsAction)
    arguments = []
    for key, value in options.items():
        arguments.append(f'{key}={_text(value)}')
        try:
            back = parser.parse_args(['--options', arguments[-1]]).options
        except AssertionError:  # unbalanced brackets
            back = {}
        _require(
            repr(back) == repr({str(key): value}),
            f'option {key}={value!r} does not pass through --cfg-options, '
            f'which makes it {back}: give a number as a number (YAML: '
            '1.0e-3), and anything else in a config of its own',
        )
    return arguments


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        inner = ','.join(map(_text, value))
        return f'({inner})' if isinstance(value, tuple) else f'[{inner}]'
    return str(value)


def _load_row(
    row: dict, common: dict, above: dict, known: Sequence[str]
) -> Row:
    _require(isinstance(row, dict), f'a row must be a dict, got {row!r}')
    _check_keys(row, known, f'row {row.get("name", "")!r}: ')
    for key in ('name', 'config'):
        is_text = isinstance(row.get(key), str)
        _require(is_text, f'row {row} needs a {key}, as text')
    row = {key: value for key, value in row.items() if value is not None}
    own = flatten(row.get('cfg_options', {}))
    row['cfg_options'] = {**common, **own, **above}
    row['test_options'] = flatten(row.get('test_options', {}))
    for key in {'config', 'load_from'} & set(row):
        row[key] = Path(str(row[key]))
    return Row(**row)


def _require(holds: object, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _check_keys(content: dict, known: Sequence[str], where: str = '') -> None:
    unknown = [key for key in content if key not in known]
    _require(
        not unknown,
        f'{where}unknown keys {unknown}, known are {list(known)}',
    )


def _check_seeds(seeds: Sequence[int]) -> None:
    is_list = isinstance(seeds, (list, tuple)) and len(seeds) > 0
    _require(
        is_list
        and all(type(seed) is int and seed >= 0 for seed in seeds)
        and len(set(seeds)) == len(seeds),
        f'seeds must be a list of different numbers >= 0, got {seeds!r}',
    )


def _check_row(row: Row) -> None:
    where, most = f'row {row.name!r}:', row.max_seeds
    for config in filter(None, (row.config, row.load_from)):
        _require(config.is_file(), f'{where} config {config} does not exist')
    for key in ('tag', 'test_tag'):
        value = getattr(row, key)
        _require(
            value is None or re.fullmatch(r'[\w.+-]+', str(value)),
            f'{where} {key} is part of a folder name, letters, digits and any '
            f'of _.+-, got {value!r}',
        )
    _require(
        most is None or (type(most) is int and most >= 1),
        f'{where} max_seeds must be a number >= 1, got {most!r}',
    )
    options = {**row.cfg_options, **row.test_options}
    _require(SEED not in options, f'{where} {SEED} is set by seeds')
    _require(
        row.load_from or not row.cache, f'{where} cache needs a load_from'
    )
    to_arguments(options)


def _check_sharing(rows: Sequence[Row]) -> None:
    """Rows of one folder train alike, those of one test folder test alike."""
    training = ('config', 'cfg_options', 'load_from', 'cache')
    first: dict[str, Row] = {}
    for row in rows:
        test = f'{row.folder}/{row.test_folder}'
        for place, keys, remedy in (
            (row.folder, training, 'tag'),
            (test, ('test_options',), 'test_tag'),
        ):
            other = first.setdefault(place, row)
            for key in keys:
                _require(
                    getattr(row, key) == getattr(other, key),
                    f'rows {other.name!r} and {row.name!r} would share the '
                    f'folder {place} but differ in {key}: give one of them a '
                    f'{remedy}',
                )
    for row in rows:
        base = first.get(row.load_from.stem) if row.load_from else None
        if base and (base.load_from or base.config != row.load_from):
            raise ValueError(
                f'row {row.name!r}: its load_from {row.load_from} would share '
                f'the folder {base.folder} with row {base.name!r}, which is '
                'not trained from its config alone'
            )
