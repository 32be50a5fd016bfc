"""Remarks under a table: misleading scores and measures that are nan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmood.metrics.remarks import separation_remarks
from mmood.ops import IDLE_PARTS, read_json

# Measures by score, OOD set and column.
Measures = Mapping[str, Mapping[str, Mapping[str, float]]]


def remarks_of(
    name: str, score: str | None, runs: Mapping[Path, Measures], things: str
) -> list[str]:
    """Sentences on a method's score, or on all of them (None).

    AUROCs are means over the runs, as in the table. A training with idle
    parts (`mmood.IdlePartsHook`) is not what its name says.
    """
    scores = None if score is None else [score]
    found = separation_remarks(_mean_aurocs(runs), scores, things)
    said = [f'{name}, {text}' for text in found]
    for path, parts in runs.items():
        for key, rows in parts.items():
            holes = [o for o, row in rows.items() if _has_nan(row)]
            if holes and scores in (None, [key]):
                said.append(
                    f'{name}, {", ".join(holes)}: {key} has measures that '
                    f'are nan in {path}; the log of that test says why'
                )
        said += [
            f'{name}: in the training of {path} nothing ever counted of {what}'
            for what in _idle_parts(path)
        ]
    return said


def _idle_parts(path: Path) -> list[str]:
    """Of the training behind a ``WORK_DIR/TEST/metrics.json``."""
    places = [path.parents[i] / IDLE_PARTS for i in (0, 1)]
    return next((read_json(p) for p in places if p.is_file()), [])


def _mean_aurocs(
    runs: Mapping[Path, Measures],
) -> dict[str, dict[str, float]]:
    """By OOD set and score; nan where a run has none."""
    values: dict[str, dict[str, list[float]]] = {}
    for parts in runs.values():
        for score, rows in parts.items():
            for origin in rows:
                auroc = rows[origin].get('AUROC', math.nan)
                place = values.setdefault(origin, {})
                place.setdefault(score, []).append(auroc)
    return {
        origin: {score: float(np.mean(v)) for score, v in row.items()}
        for origin, row in values.items()
    }


def _has_nan(row: Mapping[str, float]) -> bool:
    return any(math.isnan(value) for value in row.values())
