"""Ranking metrics of a stream of scores, in bounded memory.

The measures of `ranking`, with entries counted in bins instead of kept.

Shapes: scores and is_positive are arrays of N entries of one shape; B bins
are occupied. Higher scores mean "positive"; which side that is, is the
caller's choice. b runs over bins, P and N are counts of both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import roc
from .inputs import as_scored_sides, check_share
from .protocols import protocol_rule

_CHUNK = 1 << 20
_INFINITY_KEY = 0x7F800000


class ScoreHistogram:
    """Counts of both sides per score bin, at most ``num_bins`` bins.

    Scores are taken as float32 (float64 is rounded), and all float32 values
    numbered in their order. A bin is ``2 ** shift`` consecutive numbers,
    ``shift`` the smallest with at most ``num_bins`` occupied bins for all
    entries seen. Hence no range is to be known, the order of `add` and
    `merge` does not matter, and up to ``num_bins`` distinct scores are
    counted exactly. Beyond that a bin counts as a tie, of relative width
    ``2 ** (shift - 23)``; `bounds` says how much that can matter. Infinite
    scores are the most extreme ones. A pickle takes 20 bytes per bin.

    Raises ValueError for fewer than two bins.
    """

    def __init__(self, num_bins: int = 2**18) -> None:
        if num_bins < 2:
            raise ValueError(f'num_bins must be at least 2, got {num_bins}')
        self.num_bins = num_bins
        self._shift = 0
        self._bins = np.zeros(0, np.int32)  # (B,), ascending
        self._counts = np.zeros((2, 0), np.int64)  # negatives, positives

    @property
    def num_negative(self) -> int:
        return int(self._counts[0].sum())

    @property
    def num_positive(self) -> int:
        return int(self._counts[1].sum())

    def add(self, scores: ArrayLike, is_positive: ArrayLike) -> None:
        """Count entries, both arrays of N entries of one shape.

        Raises ValueError as `ranking.auroc` does, and counts nothing then.
        """
        scores, positive = as_scored_sides(scores, is_positive)
        for start in range(0, scores.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            keys = _to_keys(scores[part])
            bins, total = _tally(keys, self._shift)
            hit_bins, hits = _tally(keys[positive[part]], self._shift)
            counts = np.zeros((2, total.size), np.int64)
            counts[1, np.searchsorted(bins, hit_bins)] = hits
            counts[0] = total - counts[1]
            self._pool(bins, counts)

    def merge(self, other: ScoreHistogram) -> ScoreHistogram:
        """Take over the counts of another histogram; returns itself.

        Raises ValueError if the numbers of bins differ.
        """
        if other.num_bins != self.num_bins:
            sizes = f'{other.num_bins}, must be {self.num_bins} as here'
            raise ValueError(f'other.num_bins is {sizes}')
        shift = max(self._shift, other._shift)
        bins = other._bins >> (shift - other._shift)
        self._bins = self._bins >> (shift - self._shift)
        self._shift = shift
        self._pool(bins, other._counts)
        return self

    def copy(self) -> ScoreHistogram:
        return self._like(self._bins, self._counts)

    def flipped(self) -> ScoreHistogram:
        """The same entries with scores negated and sides exchanged.

        For measures that take the other side as positive; add only to the
        original, since a flipped 0 does not tie with a 0 added later.
        """
        return self._like(~self._bins[::-1], self._counts[::-1, ::-1])

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Thresholds, true and false positives of the bins, each (B,).

        ``tps[i]`` positives and ``fps[i]`` negatives have a (float32) score
        ``>= thresholds[i]``, strictest first.
        """
        fps, tps = self._counts[:, ::-1].cumsum(1)
        lowest = self._bins[::-1].astype(np.int64) << self._shift
        return _to_scores(lowest), tps, fps

    def tallies(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Upper edges of the bins, ascending, and their counts, each (B,).

        ``negatives[: i + 1].sum()`` negatives have a (float32) score ``<=
        edges[i]``; the positives stand behind them.
        """
        edges = ((self._bins.astype(np.int64) + 1) << self._shift) - 1
        edges[edges == -1] = -2  # -0, which no score has, would equal 0
        return _to_scores(edges), self._counts[0], self._counts[1]

    def auroc(self) -> float:
        """Area under the ROC curve, [0, 1]; nan if one side is empty."""
        if self._one_sided():
            return float('nan')
        return roc.area_under_roc(*self._roc())

    def average_precision(self, *, protocol: str = 'dood') -> float:
        """`ranking.average_precision`, [0, 1]; nan if one side is empty."""
        rule = protocol_rule(protocol)
        if self._one_sided():
            return float('nan')
        return roc.area_under_pr(*self._roc(), rule.trapezoids)

    def fpr_at_tpr(self, tpr: float = 0.95, protocol: str = 'dood') -> float:
        """False positive rate where ``tpr`` of the positives are kept.

        The protocols, and the side that they take as positive, are those of
        `ranking.fpr_at_tpr`. In [0, 1]; nan if one side is empty. Raises
        ValueError for an unknown protocol or a ``tpr`` outside (0, 1].
        """
        rule = protocol_rule(protocol)
        check_share('tpr', tpr)
        if self._one_sided():
            return float('nan')
        return roc.fpr_at_tpr(*self._roc(), tpr, rule.point)

    def best_f1(self) -> tuple[float, float]:
        """Best ``2PR / (P + R)``, [0, 1], and the threshold that gives it.

        ``score >= threshold`` (in float32) selects the positives; of equally
        good thresholds the strictest. Both are nan if one side is empty.
        """
        if self._one_sided():
            return float('nan'), float('nan')
        thresholds, tps, fps = self.curve()
        f1 = 2 * tps / (tps + fps + tps[-1])
        best = int(np.argmax(f1))
        return float(f1[best]), float(thresholds[best])

    def quantile(self, q: float, positive: bool = False) -> float:
        """The score up to which a share ``q`` of one side lies.

        The upper edge, in float32, of the first bin where the side's
        ``mean(scores <= edge) >= q``; nan if the side is empty. ``q=0.95``
        of the ID side is the usual threshold. Raises ValueError for ``q``
        outside (0, 1].
        """
        check_share('q', q)
        below = self._counts[int(positive)].cumsum()
        if not below.size or not below[-1]:
            return float('nan')
        # The subtrahend keeps 0.55 * 100 = 55.00000000000001 from being 56.
        index = np.searchsorted(below, np.ceil(q * below[-1] - 1e-9))
        edge = ((int(self._bins[index]) + 1) << self._shift) - 1
        return float(_to_scores(np.array(edge)))

    def bounds(
        self, tpr: float = 0.95, protocol: str = 'dood'
    ) -> dict[str, tuple[float, float]]:
        """Lowest and highest ``AUROC``, ``AP`` and ``FPR`` of the scores.

        The measures of the float32 scores themselves lie in between,
        whatever their order within the bins (wide, therefore, where a bin
        holds much of both sides, even if these scores are all equal):

        - AUROC: off by at most ``1/2 sum_b (P_b / P) (N_b / N)``.
        - AP: a positive has at most the precision where its bin's positives
          are taken and no negative, at least that where its bin's negatives
          come first and the positives then one by one (at once, for a
          protocol that takes trapezoids).
        - FPR (at ``tpr``, of ``protocol``): in the bin where the curve
          crosses ``tpr``; a nearest point may be in one of the next.

        Both ends are the value itself while no bin holds two scores, nan if
        one side is empty. Raises ValueError as `fpr_at_tpr` does.
        """
        fpr = self.fpr_at_tpr(tpr, protocol)
        area = self.auroc()
        precision = self.average_precision(protocol=protocol)
        if self._shift == 0 or self._one_sided():
            values = dict(AUROC=area, AP=precision, FPR=fpr)
            return {name: (value, value) for name, value in values.items()}
        tps, fps = self._roc()
        slack = (np.diff(tps) / tps[-1] * (np.diff(fps) / fps[-1])).sum() / 2
        rule = protocol_rule(protocol)
        first, last = roc.points_around_tpr(tps, fps, tpr, rule.point)
        return dict(
            AUROC=(float(area - slack), float(area + slack)),
            AP=roc.average_precision_bounds(tps, fps, rule.trapezoids),
            FPR=(float(fps[first] / fps[-1]), float(fps[last] / fps[-1])),
        )

    def _like(self, bins: np.ndarray, counts: np.ndarray) -> ScoreHistogram:
        other = ScoreHistogram(self.num_bins)
        other._shift, other._bins, other._counts = self._shift, bins, counts
        return other

    def _one_sided(self) -> bool:
        return not self._counts.any(axis=1).all()

    def _roc(self) -> tuple[np.ndarray, np.ndarray]:
        """True and false positive counts from 0 on, each (1 + B,)."""
        _, tps, fps = self.curve()
        return np.r_[0, tps], np.r_[0, fps]

    def _pool(self, bins: np.ndarray, counts: np.ndarray) -> None:
        """Add (n,) ascending bins and (2, n) counts; coarsen if needed."""
        bins = np.r_[self._bins, bins]
        counts = np.concatenate([self._counts, counts], axis=1)
        # Two sorted runs: the stable sort merges them in linear time.
        order = np.argsort(bins, kind='stable')
        bins, counts = bins[order], counts.take(order, axis=1)
        starts = _run_starts(bins)
        while starts.size > self.num_bins:
            self._shift += 1
            bins >>= 1
            starts = _run_starts(bins)
        self._bins = bins[starts]
        self._counts = np.add.reduceat(counts, starts, axis=1)


def _to_keys(scores: np.ndarray) -> np.ndarray:
    """Integers that order like the scores, (n,), int32.

    The bits of an IEEE float, all but the sign inverted where it is set;
    ``~key`` is the key of the negated score (but for 0, whose key is 0).
    """
    with np.errstate(over='ignore'):
        scores = scores.astype(np.float32)
    scores += 0  # -0 becomes 0
    bits = scores.view(np.int32)
    return bits ^ (bits >> 31 & 0x7FFFFFFF)


def _to_scores(keys: np.ndarray) -> np.ndarray:
    """Inverse of `_to_keys` for int64; infinite beyond infinity."""
    keys = np.clip(keys, ~_INFINITY_KEY, _INFINITY_KEY).astype(np.int32)
    bits = keys ^ (keys >> 31 & 0x7FFFFFFF)
    return bits.view(np.float32) + np.float32(0)


def _tally(keys: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct bins at ``shift``, ascending, and their counts."""
    bins = np.sort(keys) >> shift
    starts = _run_starts(bins)
    return bins[starts], np.diff(starts, append=bins.size)


def _run_starts(values: np.ndarray) -> np.ndarray:
    """Where a sorted array has a new value, (n,) -> (distinct,)."""
    fresh = np.ones(values.size, bool)
    np.not_equal(values[1:], values[:-1], out=fresh[1:])
    return np.flatnonzero(fresh)
