"""From the scores of both sides to the numbers of the page, for any task.

Shapes: T thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .counts import Tally, bin_edges, pooled, steps, threshold_grid
from .runs import Run


@dataclass(frozen=True)
class Side:
    """The scores of a set, and the known ones that they are held against.

    ``objects``: the highest score of each annotated object that has a box,
    of ``num_objects``; ``classes``: known and unknown ones by the class
    they were taken for; ``categories``: rows at given thresholds.
    """

    known: Tally
    unknown: Tally
    objects: Tally | None = None
    num_objects: int = 0
    classes: Mapping[str, tuple[Tally, Tally]] = field(default_factory=dict)
    categories: Callable[[np.ndarray], list[dict]] = lambda thresholds: []


def summary(run: Run, sides: Mapping[str, Mapping[str, Side]]) -> dict:
    """By score: thresholds and where to start, and for each set the counts.

    ``thresholds`` (T,), ``start``, ``edges`` of the histograms, and ``sets``
    with ``id``, ``ood`` and ``objects``: how many are above each threshold;
    their totals; ``id_bins`` and ``ood_bins``; ``classes``, ``categories``.
    Scores without any known box or pixel are left out.
    """
    found = {}
    for score, sets in sides.items():
        known = [side.known for side in sets.values()]
        unknown = [side.unknown for side in sets.values()]
        everything = pooled(known)
        if not everything.total:
            continue
        start = run.start[score]
        if start is None:
            level = np.array([run.details['tpr']])
            start = float(everything.quantiles(level)[0])
        grid = threshold_grid(everything, unknown, start)
        edges = bin_edges([*known, *unknown])
        found[score] = dict(
            thresholds=grid.tolist(),
            start=min(int(np.searchsorted(grid, start)), len(grid) - 1),
            edges=edges.tolist(),
            sets={
                name: _numbers(side, grid, edges)
                for name, side in sets.items()
            },
        )
    return found


def _numbers(side: Side, grid: np.ndarray, edges: np.ndarray) -> dict:
    numbers = dict(
        num_id=side.known.total,
        num_ood=side.unknown.total,
        nans=side.known.nans + side.unknown.nans,
        id=side.known.above(grid).tolist(),
        ood=side.unknown.above(grid).tolist(),
        id_bins=side.known.histogram(edges).tolist(),
        ood_bins=side.unknown.histogram(edges).tolist(),
        classes=[
            dict(
                name=name,
                num_id=known.total,
                num_ood=unknown.total,
                id=steps(known, grid),
                ood=steps(unknown, grid),
            )
            for name, (known, unknown) in side.classes.items()
            if known.total or unknown.total
        ],
        categories=side.categories(grid),
    )
    if side.objects is not None:
        numbers.update(
            num_objects=side.num_objects,
            boxed=side.objects.total,
            objects=side.objects.above(grid).tolist(),
        )
    return numbers
