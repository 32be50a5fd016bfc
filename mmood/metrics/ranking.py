"""Ranking metrics of a binary decision by threshold.

Shapes: scores and is_positive are arrays of N entries of any shape. A score
ranks: higher means "positive". Which side is positive is the caller's
choice; protocols that take ID as positive want an OOD score negated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score

from .roc import point_at_tpr

PROTOCOLS = {
    'vos': 'nearest',
    'dood': 'nearest_on_corners',
    'fishyscapes': 'at_least',
    'openood': 'at_least',
    'smiyc': 'at_least',
    'rba': 'above',
    'dreambox': 'quantile',
    'quantile': 'quantile',
}


def protocol_rule(protocol: str) -> str:
    """How `fpr_at_tpr` picks its threshold; ValueError if unknown."""
    if protocol not in PROTOCOLS:
        raise ValueError(
            f'unknown protocol {protocol!r}; known are {sorted(PROTOCOLS)}'
        )
    return PROTOCOLS[protocol]


def auroc(scores: ArrayLike, is_positive: ArrayLike) -> float:
    """Area under the ROC curve, in [0, 1]; ties count one half.

    nan if one side is empty. Raises ValueError for nan scores or lengths
    that differ.
    """
    scores, positive = _check(scores, is_positive)
    if _one_sided(positive):
        return float('nan')
    return float(roc_auc_score(positive, scores))


def average_precision(scores: ArrayLike, is_positive: ArrayLike) -> float:
    """``sum_n (R_n - R_{n-1}) P_n``, the area under the PR curve, [0, 1].

    Without interpolation. nan if one side is empty. Raises ValueError as
    `auroc` does.
    """
    scores, positive = _check(scores, is_positive)
    if _one_sided(positive):
        return float('nan')
    return float(average_precision_score(positive, scores))


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
    ``fishyscapes``, ``openood``, ``smiyc``   first that is >= ``tpr``
    ``rba``                                   first that is > ``tpr``
    ``quantile`` = ``dreambox`` (ID is the    entry int(tpr n) of the sorted
    positive side)                            positives is the threshold,
                                              itself excluded
    ========================================= =============================

    nan if one side is empty. Raises ValueError for an unknown protocol, a
    ``tpr`` outside (0, 1], nan scores or lengths that differ.
    """
    rule = protocol_rule(protocol)
    if not 0 < tpr <= 1:
        raise ValueError(f'tpr must be in (0, 1], got {tpr}')
    scores, positive = _check(scores, is_positive)
    if _one_sided(positive):
        return float('nan')
    order = np.argsort(-scores, kind='stable')
    ordered, is_positive = scores[order], positive[order]
    last = np.r_[ordered[1:] != ordered[:-1], True]  # of equal scores
    tps = np.r_[0, np.cumsum(is_positive)[last]]
    fps = np.r_[0, np.cumsum(~is_positive)[last]]
    return float(fps[point_at_tpr(tps, fps, tpr, rule)] / fps[-1])


def _check(
    scores: ArrayLike, is_positive: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(scores, dtype=np.float64).ravel()
    positive = np.asarray(is_positive).astype(bool).ravel()
    if scores.shape != positive.shape:
        raise ValueError(
            f'scores has {scores.size} entries and is_positive '
            f'{positive.size}; they must agree'
        )
    if np.isnan(scores).any():
        raise ValueError(
            f'scores has {int(np.isnan(scores).sum())} nan of {scores.size}'
        )
    return scores, positive


def _one_sided(positive: np.ndarray) -> bool:
    return positive.size == 0 or positive.all() or not positive.any()
