"""Spread of a measure over random parts of a set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import numpy as np

from .histogram import ScoreHistogram


def leave_group_out(
    groups: Sequence[ScoreHistogram],
    measure: Callable[[ScoreHistogram], float],
) -> tuple[float, float]:
    """Mean and standard deviation of a measure over G - 1 of G groups.

    With images dealt at random to ten groups: over ten random parts of 90 %
    of the images each (DOoD, ECCV 2024, Appendix A.1.3). The deviation is
    that of these values (ddof 0). Groups without any score are skipped,
    since leaving one out leaves out nothing; both results are nan if fewer
    than two remain, or if the measure is nan for one of the parts.
    """
    groups = [g for g in groups if g.num_negative + g.num_positive]
    if len(groups) < 2:
        return float('nan'), float('nan')
    after = list(_running_merges(groups[::-1]))[::-1]
    values = [
        measure(before.copy().merge(rest))
        for before, rest in zip(_running_merges(groups), after[1:])
    ]
    return float(np.mean(values)), float(np.std(values))


def _running_merges(
    groups: Sequence[ScoreHistogram],
) -> Iterator[ScoreHistogram]:
    """Merges of the first 0, 1, ..., G groups."""
    return accumulate(
        groups,
        lambda merged, group: merged.copy().merge(group),
        initial=ScoreHistogram(groups[0].num_bins),
    )
