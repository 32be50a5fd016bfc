"""Counts that a page needs to move a threshold: few numbers for many scores.

Shapes: N scores, T thresholds, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_THRESHOLDS = 250  # below 256: a picture stores them in a byte
_TAIL = (0.99, 0.995, 0.999, 0.9999)
_BINS = 60


class Tally:
    """Scores (N,) with how often each is there; nan are left out.

    ``total`` counts them, ``nans`` those that were left out.
    """

    def __init__(
        self, values: np.ndarray, counts: np.ndarray | None = None
    ) -> None:
        values = np.asarray(values, np.float64)
        counts = np.ones(values.shape, np.int64) if counts is None else counts
        is_nan = np.isnan(values)
        self.nans = int(counts[is_nan].sum())
        values, counts = values[~is_nan], counts[~is_nan]
        order = np.argsort(values, kind='stable')
        self.values = values[order]
        self._ends = np.r_[0, counts[order].cumsum()]

    @property
    def total(self) -> int:
        return int(self._ends[-1])

    @property
    def counts(self) -> np.ndarray:
        return np.diff(self._ends)

    def above(self, thresholds: np.ndarray) -> np.ndarray:
        """How many scores are ``> t``, for each of the (T,), int64."""
        below = np.searchsorted(self.values, thresholds, side='right')
        return self.total - self._ends[below]

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        """Scores up to which these shares lie; none if there is no score."""
        if not self.total:
            return np.zeros(0)
        wanted = np.maximum(np.ceil(levels * self.total - 1e-9), 1)
        return self.values[np.searchsorted(self._ends[1:], wanted)]

    def histogram(self, edges: np.ndarray) -> np.ndarray:
        """Counts (B,) between the edges (B + 1,), lower ones included.

        The outer bins also take what lies beyond them.
        """
        inner = np.searchsorted(self.values, edges[1:-1], side='left')
        return np.diff(np.r_[0, self._ends[inner], self.total])


def pooled(tallies: Sequence[Tally]) -> Tally:
    values = [np.zeros(0), *(t.values for t in tallies)]
    counts = [np.zeros(0, np.int64), *(t.counts for t in tallies)]
    return Tally(np.concatenate(values), np.concatenate(counts))


def threshold_grid(
    known: Tally, unknown: Sequence[Tally], start: float
) -> np.ndarray:
    """Thresholds (T,) to move among, ascending, ``start`` one of them.

    Quantiles of either side, so that no step moves many scores, and one
    below all of them. At most `MOST_THRESHOLDS`.
    """
    steps = max(120 // max(len(unknown), 1), 16)
    sides = [known.quantiles(np.r_[np.linspace(0, 1, 121), _TAIL])]
    sides += [u.quantiles(np.linspace(0, 1, steps + 1)) for u in unknown]
    found = np.concatenate(sides)
    found = np.unique(found[np.isfinite(found)])
    if found.size:
        found = np.r_[np.nextafter(found[0], -np.inf), found]
    if found.size >= MOST_THRESHOLDS:
        places = np.linspace(0, found.size - 1, MOST_THRESHOLDS - 1)
        found = found[np.unique(places.round().astype(int))]
    more = [start] if np.isfinite(start) or not found.size else []
    return np.unique(np.r_[found, more])


def bin_edges(sides: Sequence[Tally]) -> np.ndarray:
    """Edges (61,) from the least 0.1 % to the highest 99.9 % of a side."""
    shares = np.array([0.001, 0.999])
    ends = np.concatenate(
        [np.zeros(0), *(side.quantiles(shares) for side in sides)]
    )
    ends = ends[np.isfinite(ends)]
    low, high = (ends.min(), ends.max()) if ends.size else (0.0, 1.0)
    if not high - low > 1e-9 * max(abs(low), abs(high), 1e-9):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def steps(tally: Tally, thresholds: np.ndarray) -> list[int]:
    """How many scores each threshold takes off those above the last one.

    Their running sum, taken from the total, is `Tally.above`: small numbers
    for the rows of classes.
    """
    return (-np.diff(np.r_[tally.total, tally.above(thresholds)])).tolist()
