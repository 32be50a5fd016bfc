"""Measures of a ranking given by counts.

Shapes: tps and fps are the numbers of true and false positives at 0, 1, ...,
B bins of falling score, each (1 + B,), from 0 to all of that side (at least
one). A point is an index into them. Rules are those of `protocols`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np


def area_under_roc(tps: np.ndarray, fps: np.ndarray) -> float:
    """Area under the ROC curve, [0, 1]; a bin is a tie."""
    tprs, fprs = tps / tps[-1], fps / fps[-1]
    return float((np.diff(fprs) * (tprs[1:] + tprs[:-1])).sum() / 2)


def area_under_pr(
    tps: np.ndarray, fps: np.ndarray, trapezoids: bool = False
) -> float:
    """``sum_b (R_b - R_{b-1}) P_b``, [0, 1].

    With ``trapezoids`` the area under straight lines between these points,
    from precision 1 at recall 0 on: the mean of ``P_b`` and ``P_{b-1}``.
    """
    precision = _precision(tps, fps)
    heights = precision[1:]
    if trapezoids:
        heights = (precision[1:] + precision[:-1]) / 2
    return float((np.diff(tps) * heights).sum() / tps[-1])


def fpr_at_tpr(
    tps: np.ndarray, fps: np.ndarray, tpr: float, rule: str
) -> float:
    """False positive rate at `point_at_tpr`, [0, 1]."""
    return float(fps[point_at_tpr(tps, fps, tpr, rule)] / fps[-1])


def point_at_tpr(
    tps: np.ndarray, fps: np.ndarray, tpr: float, rule: str
) -> int:
    """Index of the point of the ROC curve that a rule takes."""
    tprs = tps / tps[-1]
    if rule == 'quantile':
        entry = min(int(tpr * int(tps[-1])), int(tps[-1]) - 1)
        return int(np.searchsorted(tps, entry, 'right')) - 1
    if rule == 'nearest':
        full = int(np.searchsorted(tps, tps[-1]))
        return full - int(np.argmin(np.abs(tprs[full:0:-1] - tpr)))
    if rule == 'nearest_on_corners':
        corners = _corners(tps, fps)
        return int(corners[np.argmin(np.abs(tprs[corners] - tpr))])
    if rule == 'at_least_on_corners':
        corners = _corners(tps, fps)
        return int(corners[np.searchsorted(tprs[corners], tpr)])
    side: Literal['left', 'right'] = 'left' if rule == 'at_least' else 'right'
    return min(int(np.searchsorted(tprs, tpr, side)), len(tprs) - 1)


def points_around_tpr(
    tps: np.ndarray, fps: np.ndarray, tpr: float, rule: str
) -> tuple[int, int]:
    """Indices between which the rule's point is on any finer curve."""
    if rule == 'quantile':
        point = point_at_tpr(tps, fps, tpr, rule)
        return point, point + 1
    if rule in ('at_least', 'above'):
        point = point_at_tpr(tps, fps, tpr, rule)
        return point - 1, point
    point = int(np.searchsorted(tps / tps[-1], tpr))
    if rule == 'nearest':
        # The loosest point of a recall, up to the next positive.
        full = int(np.searchsorted(tps, tps[-1]))
        following = int(np.searchsorted(tps, tps[point], 'right'))
        return point - 1, min(following, full)
    first, last = _corners_around(tps, fps, point)
    return (first if rule == 'nearest_on_corners' else point - 1), last


def average_precision_bounds(
    tps: np.ndarray, fps: np.ndarray, trapezoids: bool = False
) -> tuple[float, float]:
    """Bounds of `area_under_pr`, see `ScoreHistogram.bounds`."""
    hits = np.diff(tps)
    highest = hits * tps[1:] / np.maximum(tps[1:] + fps[:-1], 1)
    # The precision f(i) = (tp + i) / (tp + i + fp), where the bin's negatives
    # came first, is concave in its i positives so far,
    if trapezoids:
        # so that one trapezoid over all of them is the smallest sum.
        begin = _precision(tps[:-1], fps[1:])
        lowest = hits * (begin + _precision(tps[1:], fps[1:])) / 2
    else:
        # so that the sum over i = 1, ..., hits is at least the integral from
        # 1/2 to hits + 1/2.
        total = tps[:-1] + fps[1:] + 0.5
        lowest = hits - fps[1:] * np.log1p(hits / total)
    return float(lowest.sum() / tps[-1]), float(highest.sum() / tps[-1])


def _precision(tps: np.ndarray, fps: np.ndarray) -> np.ndarray:
    """TP / (TP + FP), 1 where there is neither."""
    found = tps + fps
    return np.where(found, tps / np.maximum(found, 1), 1.0)


def _corners(tps: np.ndarray, fps: np.ndarray) -> np.ndarray:
    """Points that are left without those inside of straight pieces.

    As sklearn's ``drop_intermediate`` has it: pieces of equal steps, and the
    strictest threshold counts as a corner.
    """
    bends = (np.diff(fps, 2) != 0) | (np.diff(tps, 2) != 0)
    bends[:1] = True
    return np.flatnonzero(np.r_[True, bends, True])


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
