"""The runs of a table: what is trained and tested, and in which folder.

A run is one training and its tests, in the folder ``OUT/CONFIG/seed_N``:
``training`` or, once it is through, ``trained`` holds the options it was
trained with, ``ood/options.json`` those of the test and ``ood/metrics.json``
its result. These markers make the table resumable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from table_spec import SEED, Row, Table, to_arguments

from mmood.checkpoint import last_checkpoint
from mmood.ops import read_json, write_json
from mmood.ops.coco_records import shorten

TOOLS = Path(__file__).resolve().parents[1]
# Told the name of a step and the command that does it.
Execute = Callable[[str, list[str]], None]


@dataclass(eq=False)
class Run:
    """A training and its tests by folder name; ``needs`` comes before."""

    row: Row
    seed: int
    folder: Path
    needs: Run | None = None
    tests: dict[str, Row] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f'{self.row.folder}, seed {self.seed}'

    @property
    def finished(self) -> bool:
        files = [self.metrics(test) for test in self.tests]
        return all(f.is_file() for f in files or [self.folder / 'trained'])

    def metrics(self, test: str) -> Path:
        return self.folder / test / 'metrics.json'


def plan(table: Table) -> list[Run]:
    """The runs of the first seed, then of the next, each after its start.

    Rows that share a training share a run. A start that is no row is trained
    from its config alone, if a run still needs it, and not tested.
    """
    runs: dict[Path, Run] = {}

    def add(row: Row, seed: int, needs: Run | None = None) -> Run:
        folder = table.out / row.folder / f'seed_{seed}'
        return runs.setdefault(folder, Run(row, seed, folder, needs))

    trained = {row.folder: row for row in table.rows}
    for seed in table.seeds:
        for row in table.rows:
            if seed not in table.seeds_of(row):
                continue
            needs = None
            if row.load_from:
                name = row.load_from.stem
                base = trained.get(name, Row(name, row.load_from))
                needs = add(base, seed)
            run = add(row, seed, needs)
            run.tests.setdefault(row.test_folder, row)
    wanted = {run.needs for run in runs.values() if not run.finished}
    return [run for run in runs.values() if run.tests or run in wanted]


def check_options(runs: list[Run]) -> None:
    """Raise ValueError if a folder holds the work of other options.

    Segmentors without a row are taken as they are, as are empty or missing
    markers, and trainings that broke off before the first checkpoint.
    """
    for run in runs:
        if not run.tests:
            continue
        broken_off = not (run.folder / 'last_checkpoint').is_file()
        for marker in ('trained', 'training'):
            if marker == 'trained' or not broken_off:
                _compare(run.folder / marker, _recipe(run.row), 'tag')
        for test, row in run.tests.items():
            if run.metrics(test).is_file():
                marker = run.folder / test / 'options.json'
                _compare(marker, row.test_options, 'test_tag')


def carry_out(run: Run, execute: Execute) -> None:
    """Train and test what is not yet done."""
    if run.finished:
        return
    checkpoint = train(run, execute)
    for test, row in run.tests.items():
        if run.metrics(test).is_file():
            continue
        out = run.folder / test
        write_json(out / 'options.json', row.test_options)
        command = _command('test', row.config, checkpoint)
        command += ['--work-dir', str(run.folder), '--out-dir', str(out)]
        options = {**row.cfg_options, **row.test_options}
        execute('testing', [*command, *_options(run.seed, options)])
        if not run.metrics(test).is_file():
            raise ValueError(f'the test left no {run.metrics(test)}')


def train(run: Run, execute: Execute) -> str:
    """Train unless done, go on if interrupted; the last checkpoint."""
    begun, done = run.folder / 'training', run.folder / 'trained'
    if not done.is_file():
        options = dict(run.row.cfg_options)
        if run.needs:
            start = _last_checkpoint(run.needs.folder)
            options['load_from'] = start
            if run.row.cache:
                cache = extract(run, start, execute)
                options['ood.features.cache'] = cache
        write_json(begun, _recipe(run.row))
        command = _command('train', run.row.config, '--resume')
        command += ['--work-dir', str(run.folder)]
        execute('training', [*command, *_options(run.seed, options)])
        begun.replace(done)
    return _last_checkpoint(run.folder)


def extract(run: Run, checkpoint: str, execute: Execute) -> str:
    """Extract features of what a run starts from; their folder."""
    cache = str(run.folder / 'features')
    command = _command('extract_features', run.row.config, checkpoint)
    command += ['--out', cache, '--work-dir', str(run.folder)]
    command += _options(run.seed, run.row.cfg_options)
    execute('extracting features', command)
    return cache


def _command(tool: str, *arguments: object) -> list[str]:
    script = str(TOOLS / f'{tool}.py')
    return [sys.executable, script, *map(str, arguments)]


def _options(seed: int, options: dict) -> list[str]:
    return ['--cfg-options', *to_arguments({SEED: seed, **options})]


def _last_checkpoint(folder: Path) -> str:
    path = last_checkpoint(folder)
    if path is None:
        raise ValueError(
            f'{folder} says that it is trained and has no checkpoint: '
            'delete it to train it again'
        )
    return str(path)


def _recipe(row: Row) -> dict:
    """What a trained folder must agree in."""
    base = {'load_from': row.load_from.stem} if row.load_from else {}
    return {**row.cfg_options, **base}


def _compare(marker: Path, options: dict, remedy: str) -> None:
    text = marker.read_text() if marker.is_file() else ''
    if not text.strip():
        return
    there, here = read_json(marker), json.loads(json.dumps(options))
    if not isinstance(there, dict):
        raise ValueError(f'{marker} must hold a dict, got {shorten(there)}')
    changed = [
        f'{key} is {there.get(key, "unset")} there, {here.get(key, "unset")} '
        'in the table'
        for key in {**there, **here}
        if [key in there, there.get(key)] != [key in here, here.get(key)]
    ]
    if changed:
        raise ValueError(
            f'{marker.parent} was made with other options '
            f'({"; ".join(changed)}): choose another out folder or {remedy}, '
            'or delete that folder'
        )
