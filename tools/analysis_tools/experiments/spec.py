"""The spec of a table: which configs, seeds and options make its rows.

A Python or YAML file, read by mmengine; paths are relative to where the tool
is called. See `load_table` for the keys, `Row` for those of a row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from mmood.config import read_config
from mmood.launch import OptionsAction

SEED = 'randomness.seed'
_KEYS = ('out', 'seeds', 'cfg_options', 'columns', 'rows')


@dataclass(frozen=True)
class Row:
    """A method of the table.

    Rows with one config share its training if they agree in ``cfg_options``,
    and its test if they agree in ``test_options`` too. Otherwise they need
    folders of their own, named by ``tag`` and ``test_tag``.
    """

    name: str  # as the table prints it
    config: Path  # to train and test
    score: str | None = None  # of the test; None: a line for each of its own
    cfg_options: dict = field(default_factory=dict)  # of training and test
    test_options: dict = field(default_factory=dict)  # of the test alone
    tag: str | None = None  # end of the folder's name, OUT/CONFIG_TAG
    test_tag: str | None = None  # end of that of the test, ood_TEST_TAG
    # Config whose checkpoint of the same seed training starts from; a row of
    # it alone says with which options it is trained.
    load_from: Path | None = None
    cache: bool = False  # train on its features, extracted once per seed
    seeds: Sequence[int] | None = None  # not more of the table's than these

    def __post_init__(self) -> None:
        for path in filter(None, (self.config, self.load_from)):
            _require(path.is_file(), f'config {path} does not exist')
        for key in ('tag', 'test_tag'):
            tag = getattr(self, key)
            _require(
                tag is None or re.fullmatch(r'[\w.+-]+', str(tag)),
                f'{key} is part of a folder name, letters, digits and any of '
                f'_.+-, got {tag!r}',
            )
        if self.seeds is not None:
            _check_seeds(self.seeds)
        _require(self.load_from or not self.cache, 'cache needs a load_from')
        options = {**self.cfg_options, **self.test_options}
        _require(SEED not in options, f'{SEED} is set by seeds')
        to_arguments(options)

    @property
    def folder(self) -> str:
        return '_'.join(filter(None, (self.config.stem, self.tag)))

    @property
    def test_folder(self) -> str:
        return '_'.join(filter(None, ('ood', self.test_tag)))


ROW_KEYS = tuple(Row.__dataclass_fields__)


@dataclass(frozen=True)
class Table:
    """Rows x seeds in one folder.

    Raises ValueError if there is nothing to run, if a config is missing or
    if two rows would write different things into one folder.
    """

    out: Path
    seeds: Sequence[int]
    rows: Sequence[Row]
    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        _check_seeds(self.seeds)
        _require(self.rows, 'rows is empty: a table needs at least one row')
        names = [row.name for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        _require(not twice, f'names of rows must differ, got twice: {twice}')
        starts = [self.start_of(row) for row in self.rows if row.load_from]
        _check_sharing([*self.rows, *starts])

    def seeds_of(self, row: Row) -> list[int]:
        """Those of the table's seeds that a row is run with."""
        return [s for s in self.seeds if row.seeds is None or s in row.seeds]

    def start_of(self, row: Row) -> Row:
        """The row of the config ``load_from`` alone, or else a new one."""
        own = row.load_from, None, None  # config, tag and load_from
        same = (r for r in self.rows if (r.config, r.tag, r.load_from) == own)
        return next(same, Row(row.load_from.stem, row.load_from))

    def folder(self, row: Row, seed: int) -> Path:
        return self.out / row.folder / f'seed_{seed}'


def load_table(
    path: Path,
    out: Path | None = None,
    seeds: Sequence[int] | None = None,
    cfg_options: dict | None = None,
    row_keys: Sequence[str] = ROW_KEYS,
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
        content = _read(path)
        check_keys(content, _KEYS)
        rows = content.get('rows') or []
        is_list = isinstance(rows, (list, tuple))
        _require(is_list, f'rows must be a list of dicts, got {rows!r}')
        common = flatten(content.get('cfg_options') or {})
        return Table(
            Path(out or content.get('out') or f'work_dirs/{path.stem}'),
            seeds or content.get('seeds', (0, 1, 2)),
            [_row(one, common, cfg_options or {}, row_keys) for one in rows],
            content.get('columns'),
        )
    except ValueError as error:
        raise ValueError(f'spec {path}: {error}') from error


def _read(path: Path) -> dict:
    try:
        return read_config(path, import_custom_modules=False).to_dict()
    except Exception as error:  # whatever a Python file raises
        raise ValueError(f'it cannot be read: {error}') from error


def _row(row: dict, common: dict, above: dict, known: Sequence[str]) -> Row:
    _require(isinstance(row, dict), f'a row must be a dict, got {row!r}')
    try:
        check_keys(row, known)
        row = {key: value for key, value in row.items() if value is not None}
        for key in ('name', 'config'):
            is_text = isinstance(row.get(key), str)
            _require(is_text, f'it needs a {key}, as text')
        own = flatten(row.get('cfg_options', {}))
        row['cfg_options'] = {**common, **own, **above}
        row['test_options'] = flatten(row.get('test_options', {}))
        for key in {'config', 'load_from'} & set(row):
            row[key] = Path(str(row[key]))
        return Row(**row)
    except ValueError as error:
        raise ValueError(f'row {row.get("name", row)!r}: {error}') from error


def _check_seeds(seeds: object) -> None:
    _require(
        isinstance(seeds, (list, tuple))
        and seeds
        and all(type(seed) is int and seed >= 0 for seed in seeds)
        and len(set(seeds)) == len(seeds),
        f'seeds must be a list of different numbers >= 0, got {seeds}',
    )


def check_keys(content: dict, known: Sequence[str]) -> None:
    unknown = [key for key in content if key not in known]
    text = f'unknown keys {unknown}, known are {list(known)}'
    _require(not unknown, text)


def flatten(options: dict, prefix: str = '') -> dict:
    """Nested overrides by dotted keys, ``{'a': {'b': 1}} -> {'a.b': 1}``."""
    is_dict = isinstance(options, dict)
    _require(is_dict, f'options must be a dict, got {options!r}')
    flat = {}
    for key, value in options.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def to_arguments(options: dict) -> list[str]:
    """Overrides as ``KEY=VALUE`` arguments that our tools read back alike.

    Raises ValueError for values that would not come back, such as objects.
    """
    for key, value in options.items():
        back = OptionsAction._parse_iterable(repr(value))
        _require(
            repr(back) == repr(value),
            f'option {key}={value!r} is no plain value, which could pass '
            'through --cfg-options: give it in a config of its own',
        )
    return [f'{key}={value!r}' for key, value in options.items()]


def _require(holds: object, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


def _check_sharing(rows: Sequence[Row]) -> None:
    """Rows of one folder train alike, those of one test folder test alike."""
    training = ('config', 'cfg_options', 'load_from', 'cache')
    for other, row in combinations(rows, 2):
        keys = dict.fromkeys(training, 'tag')
        if row.test_folder == other.test_folder:
            keys['test_options'] = 'test_tag'
        for key, remedy in keys.items() if row.folder == other.folder else ():
            _require(
                getattr(row, key) == getattr(other, key),
                f'rows {other.name!r} and {row.name!r} would share the folder '
                f'{row.folder} but differ in {key}: give one of them a '
                f'{remedy}',
            )
