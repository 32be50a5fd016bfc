"""Finding and reading the finished tests in folders."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HOW = (
    'run tools/test.py CONFIG CHECKPOINT --out-dir {folder}/ood, and name '
    'that folder or the one above'
)


class NoTestError(ValueError):
    """A folder has no test to report on; says why and what to do."""


@dataclass(frozen=True)
class Run:
    """A finished test: where it lies and what its JSON files hold."""

    name: str
    folder: Path
    metrics: dict
    details: dict
    facts: dict

    @property
    def sets(self) -> list[str]:
        """Names of the OOD sets."""
        return [name for name in self.details['sets'] if name != 'id']

    @property
    def start(self) -> dict[str, float | None]:
        """The threshold that the test found for each score, if it did."""
        scores = self.details['scores']
        return {s: self.metrics.get(f'ood_threshold/{s}') for s in scores}


def find_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Every test below the folders, in order of their paths.

    Raises NoTestError for a folder without a finished test that a report
    can be made of, and for tests of boxes and of pixels together;
    FileNotFoundError for one that is not there.
    """
    found: dict[Path, None] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(
                f'{folder} does not exist or is no folder: name the --out-dir '
                'of a test, or a folder above'
            )
        found.update(dict.fromkeys(_tests_below(folder)))
    names = run_names(list(found))
    runs = [_read(path, name) for path, name in zip(found, names)]
    tasks = {run.details['task']: run.folder for run in runs}
    if len(tasks) > 1:
        places = ' and '.join(f'{f} of {task}' for task, f in tasks.items())
        raise NoTestError(
            f'{places} cannot share a report: boxes and pixels are counted '
            'apart; make one of each'
        )
    return runs


def _tests_below(folder: Path) -> list[Path]:
    results = sorted(folder.rglob('metrics.json'))
    tests = [p.parent for p in results if (p.parent / 'details.json').exists()]
    if tests:
        return [path.resolve() for path in tests]
    how = _HOW.format(folder=folder)
    if results:
        raise NoTestError(
            f'{results[0]} is of a test that left no details.json beside it: '
            'it was made by an earlier mmood, or by a metric that ranks no '
            f'boxes or pixels; {how}'
        )
    if any(folder.rglob('*.npz')) or any(folder.rglob('*.pth')):
        raise NoTestError(
            f'{folder} has no metrics.json, which a test writes when it is '
            f'done: it was trained only, or the test was broken off; {how}'
        )
    raise NoTestError(f'{folder} has no test: {how}')


def run_names(folders: Sequence[Path]) -> list[str]:
    """A short name for each folder, the whole path where two are alike.

    ``ood``, the usual folder of a test, is left out, ``ood_TAG`` is that tag
    in brackets, and ``seed_0`` has the folder above before it.
    """
    names = []
    for folder in folders:
        parts, tag = list(folder.parts), ''
        if len(parts) > 2 and re.match('ood(_|$)', parts[-1]):
            tag = parts.pop()[4:]
        count = 2 if parts[-1].startswith('seed_') else 1
        names.append('/'.join(parts[-count:]) + (f' ({tag})' if tag else ''))
    counts = Counter(names)
    return [
        name if counts[name] == 1 else str(folder)
        for name, folder in zip(names, folders)
    ]


def _read(folder: Path, name: str) -> Run:
    facts = folder / 'run.json'
    return Run(
        name=name,
        folder=folder,
        metrics=_load(folder / 'metrics.json'),
        details=_load(folder / 'details.json'),
        facts=_load(facts) if facts.exists() else {},
    )


def _load(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise NoTestError(
            f'{path} is no JSON ({error}): test again into that folder'
        ) from error


def facts_of(run: Run) -> list[list[str]]:
    """What the run was made with, as rows of a name and a text."""
    facts, details = run.facts, run.details
    checkpoint = facts.get('checkpoint') or {}
    version = facts.get('versions') or {}
    rows = {
        'Folder': run.folder,
        'Finished': facts.get('finished'),
        'Config': facts.get('config_file'),
        'Checkpoint': checkpoint.get('path'),
        'SHA-256 of it': checkpoint.get('sha256'),
        'Trained until': _length(checkpoint),
        'Seed of the training': checkpoint.get('seed'),
        'Seed of the test': facts.get('seed'),
        'Processes': facts.get('processes'),
        'Protocol': details['protocol'],
        'Boxes count from a confidence of': details.get('score_threshold'),
        'Versions': ', '.join(f'{k} {v}' for k, v in version.items()),
    }
    return [[k, str(v)] for k, v in rows.items() if v not in (None, '')]


def _length(checkpoint: dict) -> str | None:
    parts = [
        f'{word} {checkpoint[key]}'
        for key, word in (('epoch', 'epoch'), ('iter', 'iteration'))
        if checkpoint.get(key) is not None
    ]
    return ', '.join(parts) or None
