"""The runs of a table of OOD scores: what is trained and tested, and where.

A run is a training and its tests, in the folder ``OUT/CONFIG/seed_N``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from . import stage
from .results import of_score, read_metrics
from .spec import SEED, Row, Table, to_arguments


class Run(stage.Stage):
    """A config with one seed, tested for the rows that share it."""

    def __init__(self, row: Row, seed: int, folder: Path) -> None:
        super().__init__(f'{row.folder}, seed {seed}', folder)
        self.row, self.seed = row, seed
        self.scores: list[tuple[str, str]] = []  # folders of tests with them

    @property
    def options(self) -> dict:
        start = self.row.load_from
        base = {'load_from': start.stem} if start else {}
        return {**self.row.cfg_options, **base}

    def check(self) -> None:
        if self.tests:  # segmentors without a row are taken as they are
            super().check()

    def steps(self) -> Iterator[stage.Step]:
        yield from super().steps()
        for test, score in self.scores:
            path = self.metrics(test)
            of_score(path, read_metrics(path), score)

    def train(self) -> Iterator[stage.Step]:
        more = {}
        for need in self.needs:
            start = more['load_from'] = str(stage.checkpoint_of(need.folder))
            if self.row.cache:
                cache = more['ood.features.cache'] = f'{self.folder}/features'
                command = self.command(
                    'extract_features', start, '--out', cache
                )
                yield 'extracting features', command
        yield 'training', self.command('train', '--resume', **more)

    def command(self, tool: str, *rest: object, **options: object) -> list:
        options = {SEED: self.seed, **self.row.cfg_options, **options}
        own = ('--work-dir', self.folder, '--cfg-options')
        given = to_arguments(options)
        return stage.call(tool, self.row.config, *rest, *own, *given)


def plan(table: Table) -> list[Run]:
    """The runs of the first seed, then of the next, each after its start.

    Rows that share a training share a run. A start that is no row is trained
    from its config alone, if a run still needs it, and not tested.
    """
    runs: dict[Path, Run] = {}

    def add(row: Row, seed: int) -> Run:
        folder = table.folder(row, seed)
        return runs.setdefault(folder, Run(row, seed, folder))

    pairs = [(row, seed) for seed in table.seeds for row in table.rows]
    for row, seed in pairs:
        if seed not in table.seeds_of(row):
            continue
        needs = [add(table.start_of(row), seed)] if row.load_from else []
        run = add(row, seed)
        run.needs = needs
        run.tests[row.test_folder] = row.test_options
        if row.score:
            run.scores.append((row.test_folder, row.score))
    wanted = {
        n for run in runs.values() if not run.finished for n in run.needs
    }
    return [run for run in runs.values() if run.tests or run in wanted]
