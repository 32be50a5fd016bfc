"""Points of a ROC curve given by counts.

Shapes: tps and fps are the numbers of true and false positives at 0, 1, ...,
B bins of falling score, each (1 + B,), from 0 to all of that side (at least
one). A point is an index into them. Rules are `ranking.protocol_rule`'s.
"""

from __future__ import annotations

import numpy as np


def point_at_tpr(
    tps: np.ndarray, fps: np.ndarray, tpr: float, rule: str
) -> int:
    """Index of the point of the ROC curve that a rule takes."""
    tprs = tps / tps[-1]
    if rule == 'quantile':
        entry = min(int(tpr * int(tps[-1])), int(tps[-1]) - 1)
        return int(np.searchsorted(tps, entry, 'right')) - 1
    if rule == 'nearest_on_corners':
        bends = (np.diff(fps, 2) != 0) | (np.diff(tps, 2) != 0)
        bends[:1] = True  # the strictest threshold counts as a corner
        corners = np.flatnonzero(np.r_[True, bends, True])
        return int(corners[np.argmin(np.abs(tprs[corners] - tpr))])
    if rule == 'nearest':
        full = int(np.searchsorted(tps, tps[-1]))
        return full - int(np.argmin(np.abs(tprs[full:0:-1] - tpr)))
    side = 'left' if rule == 'at_least' else 'right'
    return min(int(np.searchsorted(tprs, tpr, side)), len(tprs) - 1)


def points_around_tpr(
    tps: np.ndarray, fps: np.ndarray, tpr: float, rule: str
) -> tuple[int, int]:
    """Indices between which the rule's point is on any finer curve."""
    point = point_at_tpr(tps, fps, tpr, rule)
    if rule == 'quantile':
        return point, point + 1
    if not rule.startswith('nearest'):
        return point - 1, point
    point = int(np.searchsorted(tps / tps[-1], tpr))
    if rule == 'nearest':
        # The loosest point of a recall, up to the next positive.
        full = int(np.searchsorted(tps, tps[-1]))
        following = int(np.searchsorted(tps, tps[point], 'right'))
        return point - 1, min(following, full)
    return _corners_around(tps, fps, point)


def _corners_around(
    tps: np.ndarray, fps: np.ndarray, point: int
) -> tuple[int, int]:
    """Indices around the corners next to the bin that ends at ``point``.

    On the finer curve these end a rising straight piece. Bins that lie in it
    as a whole all point the same way, and one more may lie in it in part.
    """
    hits, misses = np.diff(tps), np.diff(fps)
    bends = hits[1:] * misses[:-1] != hits[:-1] * misses[1:]
    bends = np.flatnonzero(bends) + 1
    first, last = point - 1, point
    if first and hits[first - 1]:
        above = bends[bends < first]
        first = int(above[-1]) - 1 if above.size else 0
    if last < len(hits) and hits[last]:
        below = bends[bends > last]
        last = int(below[0]) + 1 if below.size else len(hits)
    # Of corners of one recall the first counts, at the last positive.
    return max(int(np.searchsorted(tps, tps[first])) - 1, 0), last


def average_precision_bounds(
    tps: np.ndarray, fps: np.ndarray
) -> tuple[float, float]:
    """Bounds of the average precision, see `ScoreHistogram.bounds`."""
    hits = np.diff(tps)
    highest = hits * tps[1:] / np.maximum(tps[1:] + fps[:-1], 1)
    # f(i) = (tp + i) / (tp + i + fp) is concave, so that its sum over i = 1,
    # ..., hits is at least its integral from 1/2 to hits + 1/2.
    total = tps[:-1] + fps[1:] + 0.5
    lowest = hits - fps[1:] * np.log1p(hits / total)
    return float(lowest.sum() / tps[-1]), float(highest.sum() / tps[-1])
