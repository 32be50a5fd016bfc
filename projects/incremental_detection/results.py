"""The table of forgetting, from the tests of all stages.

Values are average precisions in %. ``stages`` are the metrics of one run by
the name of the stage, in the order of training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from experiments.formats import Line, render

from mmood.metrics.incremental import forgetting

BASE = 'step_0'
FORGETTING = 'forgetting'
_MEASURES = ('AP50', 'AP75')
_GROUPS = ('old', 'new', 'all')
# Of `mmood.OpenSetDetMetric`: shares of what is still unknown.
_OPEN_WORLD = {'U-Recall': 'R_U', 'WI': 'WI', 'A-OSE': 'AOSE'}
_LOWER = (FORGETTING, 'WI', 'A-OSE')


def report(
    methods: Mapping[str, Sequence[dict[str, dict]]],
    stages: Mapping[str, Sequence[str]],
    columns: Sequence[str],
    style: str = 'github',
    with_stage: bool = False,
) -> str:
    """The table of the methods' runs, a line for each stage of a method.

    In one of `experiments.formats.STYLES`; CSV always has the stages.
    """
    with_stage = with_stage or style == 'csv'
    lines = []
    for name, runs in methods.items():
        for stage in stages[name]:
            done = [run for run in runs if stage in run]
            cells = [[values_of(done, stage, column)] for column in columns]
            labels = [name, stage][: 1 + with_stage]
            lines.append(Line(labels, cells, len(done), len(runs)))
    arrows = {c: f'{c} {"↓" if c in _LOWER else "↑"}' for c in columns}
    return render(['method', 'stage'][: 1 + with_stage], arrows, lines, style)


def values_of(
    runs: Sequence[dict[str, dict]], stage: str, column: str
) -> list[float] | None:
    """A column of finished runs; None if it does not apply to one."""
    values = [value_of(run, stage, column) for run in runs]
    return None if None in values else values


def value_of(stages: dict[str, dict], stage: str, column: str) -> float | None:
    """A column of a run after a stage, None where it does not apply.

    ``AP50 old`` is a group's mean, ``AP50 all`` that of all classes seen,
    ``circle`` the AP50 of a class. ``forgetting`` is the mean AP50 of the
    base classes after the base step minus that after the stage, in points;
    ``U-Recall``, ``WI`` and ``A-OSE`` are of objects still unknown, and do
    not apply where none is.
    """
    metrics = stages[stage]
    if column in _OPEN_WORLD:
        recall = metrics.get('id/open_set/R_U')
        if recall is None or math.isnan(recall):
            return None
        return metrics.get(f'id/open_set/{_OPEN_WORLD[column]}')
    if column == FORGETTING:
        base = {} if stage == BASE else stages.get(BASE, {})
        pairs = [(base[k], metrics[k]) for k in base if k.startswith('AP50/')]
        return forgetting(*zip(*pairs), range(len(pairs))) if pairs else None
    measure, _, group = column.partition(' ')
    if group not in _GROUPS or measure not in _MEASURES:
        return metrics.get(f'AP50/{column}')
    return metrics.get(measure if group == 'all' else f'{group}/{measure}')


def columns_of(
    classes: Sequence[str] | None = None,
    methods: Mapping[str, Sequence[dict[str, dict]]] | None = None,
) -> list[str]:
    """Those of the groups; given classes, AP50 of each and their mean.

    And those of unknown objects, if a run of the methods has any.
    """
    if classes is not None:
        return [*classes, 'AP50 all']
    named = [f'{m} {g}' for m in _MEASURES for g in _GROUPS]
    runs = [run for runs in (methods or {}).values() for run in runs]
    known = {key for run in runs for stage in run.values() for key in stage}
    is_open = f'id/open_set/{_OPEN_WORLD["U-Recall"]}' in known
    return [*named, FORGETTING, *(_OPEN_WORLD if is_open else ())]
