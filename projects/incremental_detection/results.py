"""The table of forgetting, from the tests of all stages.

Values are average precisions in %. ``stages`` are the metrics of one run by
the name of the stage, in the order of training.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from table_parts import STYLES, Spread, cell, spread

from mmood.metrics.incremental import forgetting

BASE = 'step_0'
FORGETTING = 'forgetting'
_MEASURES = ('AP50', 'AP75')
_GROUPS = ('old', 'new', 'all')


@dataclass(frozen=True)
class Line:
    """A method after a stage; None for runs that have not got there."""

    method: str
    stage: str
    runs: Sequence[dict[str, dict] | None]

    @property
    def finished(self) -> list[dict[str, dict]]:
        return [run for run in self.runs if run and self.stage in run]

    def spread(self, column: str) -> Spread | None:
        """Mean and sample deviation over finished runs; None: no value."""
        values = [value_of(run, self.stage, column) for run in self.finished]
        return None if None in values or not values else spread(values, 1)


def value_of(stages: dict[str, dict], stage: str, column: str) -> float | None:
    """A column of a run after a stage, None where it does not apply.

    ``AP50 old`` is a group's mean, ``AP50 all`` that of all classes seen,
    ``circle`` the AP50 of a class. ``forgetting`` is the mean AP50 of the
    base classes after the base step minus that after the stage, in points.
    """
    metrics = stages[stage]
    if column == FORGETTING:
        if stage == BASE or BASE not in stages:
            return None
        before = class_values(stages[BASE])
        after = class_values(metrics)
        pairs = [(before[name], after[name]) for name in before]
        return forgetting(*zip(*pairs), range(len(pairs)))
    measure, _, group = column.partition(' ')
    if group in _GROUPS and measure in _MEASURES:
        key = measure if group == 'all' else f'{group}/{measure}'
        return metrics.get(key)
    return class_values(metrics).get(column)


def class_values(metrics: dict[str, float]) -> dict[str, float]:
    """AP50 by class."""
    head = 'AP50/'
    return {
        key[len(head) :]: value
        for key, value in metrics.items()
        if key.startswith(head)
    }


def columns_of(classes: Sequence[str] | None = None) -> list[str]:
    """Those of the groups; given classes, AP50 of each and their mean."""
    if classes is not None:
        return [*classes, 'AP50 all']
    named = [f'{m} {g}' for m in _MEASURES for g in _GROUPS]
    return [*named, FORGETTING]


def render(
    lines: Sequence[Line],
    columns: Sequence[str],
    style: str = 'github',
    with_stage: bool = False,
) -> str:
    """The table in one of `STYLES`, ending with a line break."""
    if style == 'csv':
        return to_csv(lines, columns)
    numbers = [len(line.finished) for line in lines]
    is_even = len({n for line in lines for n in counts(line)}) < 2
    headers = ['method', *['stage'] * with_stage, *map(arrow, columns)]
    headers += ['seeds'] * (not is_even)
    rows = []
    for line in lines:
        row = [line.method, *[line.stage] * with_stage]
        row += [cell(line.spread(column)) for column in columns]
        row += ['{}/{}'.format(*counts(line))] * (not is_even)
        rows.append(row)
    return STYLES[style](headers, rows, note(max(numbers), is_even))


def counts(line: Line) -> tuple[int, int]:
    """Finished and wanted runs."""
    return len(line.finished), len(line.runs)


def arrow(column: str) -> str:
    return f'{column} {"↓" if column == FORGETTING else "↑"}'


def note(most: int, is_even: bool) -> str:
    """What the values are, and over how many seeds."""
    if most < 2:
        return 'in %, one seed' if most else 'in %'
    seeds = f'{most} seeds' if is_even else 'the seeds'
    return f'in %, mean ± sample deviation over {seeds}'


def to_csv(lines: Sequence[Line], columns: Sequence[str]) -> str:
    """A row per method and stage, mean and deviation apart, six digits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    parts = [f'{c}_{part}' for c in columns for part in ('mean', 'std')]
    writer.writerow(['method', 'stage', 'seeds', *parts])
    for line in lines:
        row = [line.method, line.stage, len(line.finished)]
        for column in columns:
            found = line.spread(column)
            row += [f'{v:.6g}' for v in found] if found else ['', '']
        writer.writerow(row)
    return file.getvalue()
