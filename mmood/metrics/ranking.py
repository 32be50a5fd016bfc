"""Ranking metrics of a binary decision by threshold.

Shapes: scores and is_positive are arrays of N entries of one shape. A score
ranks: higher means "positive". Which side is positive is the caller's
choice; protocols that take ID as positive want an OOD score negated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import roc
from .inputs import as_scored_sides, check_share
from .protocols import protocol_rule


def auroc(scores: ArrayLike, is_positive: ArrayLike) -> float:
    """Area under the ROC curve, in [0, 1]; ties count one half.

    nan if one side is empty. Infinite scores are the most extreme ones, and
    lists, arrays and tensors are welcome. Raises ValueError for nan scores,
    shapes that differ and sides other than 0 and 1: drop ignored entries.
    """
    counts = _counts(scores, is_positive)
    return roc.area_under_roc(*counts) if counts else float('nan')


def average_precision(
    scores: ArrayLike, is_positive: ArrayLike, *, protocol: str = 'dood'
) -> float:
    """``sum_n (R_n - R_{n-1}) P_n``, the area under the PR curve, [0, 1].

    Without interpolation, but for the protocols ``openood`` and
    ``pytorch_ood``, which take trapezoids: ``P_n`` is then the mean of
    itself and ``P_{n-1}``, with precision 1 at recall 0. nan if one side is
    empty. Raises ValueError as `auroc` does, and for an unknown protocol.
    """
    rule = protocol_rule(protocol)
    counts = _counts(scores, is_positive)
    if not counts:
        return float('nan')
    return roc.area_under_pr(*counts, rule.trapezoids)


def fpr_at_tpr(
    scores: ArrayLike,
    is_positive: ArrayLike,
    tpr: float = 0.95,
    protocol: str = 'dood',
) -> float:
    """False positive rate where ``tpr`` of the positives are kept, [0, 1].

    A set has few true positive rates, and the field does not agree on which
    to take when ``tpr`` is not among them:

    ========================================= =============================
    ``vos`` (also SIREN, FFS, DFDD; ID is     nearest; of equally near ones
    the positive side)                        the loosest threshold
    ``dood``                                  nearest among the corners of
                                              the ROC curve, strictest first
    ``openood``                               first corner of the ROC curve
                                              that is >= ``tpr``
    ``fishyscapes``, ``pytorch_ood``,         first that is >= ``tpr``
    ``smiyc``
    ``rba``                                   first that is > ``tpr``
    ``quantile`` = ``dreambox`` (ID is the    entry int(tpr n) of the sorted
    positive side)                            positives is the threshold,
                                              itself excluded
    ========================================= =============================

    nan if one side is empty. Raises ValueError as `auroc` does, for an
    unknown protocol and for a ``tpr`` outside (0, 1].
    """
    rule = protocol_rule(protocol)
    check_share('tpr', tpr)
    counts = _counts(scores, is_positive)
    return roc.fpr_at_tpr(*counts, tpr, rule.point) if counts else float('nan')


def _counts(
    scores: ArrayLike, is_positive: ArrayLike
) -> tuple[np.ndarray, np.ndarray] | None:
    """True and false positives from 0 on; None if a side is empty."""
    scores, positive = as_scored_sides(scores, is_positive)
    if positive.all() or not positive.any():
        return None
    order = np.argsort(scores, kind='stable')[::-1]
    ordered, positive = scores[order], positive[order]
    last = np.r_[ordered[1:] != ordered[:-1], True]  # of equal scores
    tps = np.r_[0, np.cumsum(positive)[last]]
    fps = np.r_[0, np.cumsum(~positive)[last]]
    return tps, fps
