"""Remarks on a table of ranking measures."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping


def separation_remarks(
    aurocs: Mapping[str, Mapping[str, float]],
    scores: Collection[str] | None = None,
    things: str = 'boxes',
) -> list[str]:
    """A sentence for each OOD set on which scores rank the wrong way round.

    Args:
        aurocs: AUROC in [0, 1] of each score, by set; nan is left out.
        scores: those that are spoken of, the others only as a remedy; None:
            all of them.
        things: what is ranked, ``'boxes'`` or ``'pixels'``.
    """
    remarks = []
    for origin, row in aurocs.items():
        known = {k: v for k, v in row.items() if not math.isnan(v)}
        asked = known if scores is None else known.keys() & set(scores)
        wrong = [k for k in known if k in asked and known[k] < 0.5]
        if not wrong:
            continue
        named = ', '.join(f'{k} ({100 * known[k]:.1f})' for k in wrong)
        best = max(known, key=known.__getitem__)
        remedy = 'no score of this test separates them'
        if known[best] > 0.5:
            remedy = f'{best} separates them best ({100 * known[best]:.1f})'
        remarks.append(
            f'{origin}: AUROC below 50 of {named}: unknown {things} score '
            f'lower than known ones; {remedy}. is_ood follows the first of '
            "the model's scores"
        )
    return remarks


def aurocs_by_set(
    metrics: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    """AUROC by set and score, of keys ``<set>/<score>/AUROC``."""
    aurocs: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        origin, _, rest = key.partition('/')
        score, _, column = rest.rpartition('/')
        if score and column == 'AUROC':
            aurocs.setdefault(origin, {})[score] = value
    return aurocs
