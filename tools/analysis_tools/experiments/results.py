"""What tests leave in ``metrics.json``, and what is odd about it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, nan
from pathlib import Path

import numpy as np

from mmood.metrics.remarks import aurocs_by_set, separation_remarks
from mmood.ops import IDLE_PARTS, read_json
from mmood.ops.coco_records import shorten


def read_metrics(path: Path) -> dict[str, float]:
    """A ``metrics.json``; ValueError with its name if it is broken.

    What is null in it is nan.
    """
    try:
        metrics = read_json(path)
        values = metrics.values() if isinstance(metrics, dict) else [metrics]
        wrong = [value for value in values if not _is_measure(value)]
        if wrong:
            raise ValueError(
                f'{path} must hold a dict of numbers, got {shorten(wrong[0])}'
            )
    except ValueError as error:
        raise ValueError(f'{error}: delete it and test again') from error
    return {k: nan if v is None else v for k, v in metrics.items()}


def _is_measure(value: object) -> bool:
    is_small = type(value) is int and abs(value) < 2**63
    return value is None or isinstance(value, float) or is_small


def by_score(metrics: dict[str, float]) -> dict[str, dict[str, dict]]:
    """``<set>/<score>/<column>`` keys as nested dicts, score first."""
    scores: dict[str, dict[str, dict]] = {}
    for key, value in metrics.items():
        if key.count('/') == 2:
            origin, score, column = key.split('/')
            parts = scores.setdefault(score, {})
            parts.setdefault(origin, {})[column] = value
    return scores


def of_score(path: Path, metrics: dict[str, float], score: str) -> dict:
    """Columns of a score by set; ValueError if the test does not have it."""
    scores = by_score(metrics)
    if not scores:
        raise ValueError(
            f'{path} has no measures of a score: it is of a test without a '
            'metric of mmood; leave it out'
        )
    if score not in scores:
        raise ValueError(f'{path} has no score {score!r}, but {list(scores)}')
    return scores[score]


def remarks_of(
    name: str, score: str | None, runs: Mapping[Path, dict], things: str
) -> list[str]:
    """Sentences on misleading scores and on measures that are nan.

    Of a method's score, or of all its scores (None); ``runs`` are metrics by
    file, AUROCs means over them, as in the table. A training with idle parts
    (`mmood.IdlePartsHook`) is not what its name says.
    """
    scores = None if score is None else [score]
    first = next(iter(runs.values()), {})
    means = {
        key: float(np.mean([run.get(key, nan) for run in runs.values()]))
        for key in first
    }
    found = separation_remarks(aurocs_by_set(means), scores, things)
    said = [f'{name}, {text}' for text in found]
    for path, metrics in runs.items():
        for key, rows in by_score(metrics).items():
            holes = [o for o, r in rows.items() if isnan(sum(r.values()))]
            if holes and scores in (None, [key]):
                said.append(
                    f'{name}, {", ".join(holes)}: {key} has measures that '
                    f'are nan in {path}; the log of that test says why'
                )
        # Of the training behind a WORK_DIR/TEST/metrics.json.
        places = [path.parents[i] / IDLE_PARTS for i in (0, 1)]
        idle = next((read_json(p) for p in places if p.is_file()), [])
        said += [
            f'{name}: in the training of {path} nothing ever counted of {what}'
            for what in idle
        ]
    return said
