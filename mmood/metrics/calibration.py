"""Whether confidences are the shares of boxes that are correct.

Shapes: D boxes. A box's confidence is that of the class that it says; it is
correct if it lies on an object of that class. Background has no column, so a
confidence is judged as a forecast of two outcomes, as those of sigmoid heads.
Source: Harakeh and Waslander, "Estimating and Evaluating Regression
Predictive Uncertainty in Deep Object Detectors", ICLR 2021.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from .detection import EmptySetWarning
from .inputs import as_array, as_scored_sides

_SIDES = ('correct', 'wrong')
# Confidences come in single precision, in which a sigmoid reaches 1.
_SMALLEST = float(np.finfo(np.float32).eps)


def expected_calibration_error(
    confidences: ArrayLike, is_correct: ArrayLike, num_bins: int = 15
) -> float:
    """Detection ECE, ``sum_b n_b / D |precision_b - confidence_b|``, [0, 1].

    Bins of equal width over [0, 1], each with its upper end; the precision
    of a bin is the share of correct boxes, its confidence their mean. nan
    without a box.
    Source: Kueppers et al., "Multivariate Confidence Calibration for Object
    Detection", CVPR Workshops 2020, by confidence alone. Raises ValueError
    for confidences outside [0, 1], nan and lengths that differ.
    """
    confidences, correct = _checked(confidences, is_correct)
    if not len(confidences):
        return float('nan')
    edges = np.linspace(0, 1, num_bins + 1)[1:-1]
    numbers, gaps, _ = _bins(confidences, correct, edges)
    return float(numbers @ np.abs(gaps) / len(confidences))


def marginal_calibration_error(
    confidences: ArrayLike,
    is_correct: ArrayLike,
    labels: ArrayLike,
    num_bins: int = 15,
) -> float:
    """Root of the classes' mean squared calibration error, [0, 1].

    Of the boxes that say a class (``labels`` (D,)) in bins of equal numbers,
    two at least: ``sum_b n_b / n (gap_b^2 - precision_b (1 - precision_b) /
    (n_b - 1))``, which has no bias; 0 where it is negative. A bin that equal
    confidences leave one box adds nothing, and a class of one box is left
    out; nan without another class.
    Source: Kumar et al., "Verified Uncertainty Calibration", NeurIPS 2019.
    Raises as `expected_calibration_error`.
    """
    confidences, correct = _checked(confidences, is_correct)
    labels = as_array(labels, 'labels').ravel()
    if len(labels) != len(confidences):
        raise ValueError(
            f'{len(labels)} labels of {len(confidences)} boxes; the numbers '
            'must agree'
        )
    squares = []
    for label in np.unique(labels):
        rows = labels == label
        if rows.sum() > 1:
            error = _unbiased_square(
                confidences[rows], correct[rows], num_bins
            )
            squares.append(max(error, 0.0))
    return float(np.sqrt(np.mean(squares))) if squares else float('nan')


def calibration_metrics(
    confidences: ArrayLike, is_correct: ArrayLike, labels: ArrayLike
) -> dict[str, float]:
    """ECE, marginal_CE, NLL and Brier of confidences (D,).

    ``NLL`` is the mean of ``-log p`` over correct boxes and ``-log(1 - p)``
    over wrong ones (the ignorance score, in nats, p at least the resolution
    of single precision away from 0 and 1), ``Brier`` the mean of ``(1 -
    p)^2`` and ``p^2``, half of a sum over both outcomes. Both are proper
    scores. ``NLL_correct``, ``Brier_correct``, ``NLL_wrong`` and
    ``Brier_wrong`` are the means over either side; nan, with a warning,
    where it has no box. Raises as `marginal_calibration_error`.
    """
    metrics = dict(
        ECE=expected_calibration_error(confidences, is_correct),
        marginal_CE=marginal_calibration_error(
            confidences, is_correct, labels
        ),
    )
    p, correct = _checked(confidences, is_correct)
    p = np.where(correct, p, 1 - p)  # of what is the case
    scores = dict(NLL=-np.log(np.maximum(p, _SMALLEST)), Brier=(1 - p) ** 2)
    parts = {
        '': np.ones_like(correct),
        '_correct': correct,
        '_wrong': ~correct,
    }
    for ending, rows in parts.items():
        for name, values in scores.items():
            mean = values[rows].mean() if rows.any() else np.nan
            metrics[name + ending] = float(mean)
    absent = [side for side in _SIDES if not parts[f'_{side}'].any()]
    if absent:
        warnings.warn(
            f'no {" and no ".join(absent)} box among {len(p)} on the ID '
            'images: its calibration is nan',
            EmptySetWarning,
            stacklevel=2,
        )
    return metrics


def _checked(
    confidences: ArrayLike, is_correct: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Both (D,), in double precision and bool."""
    p, correct = as_scored_sides(confidences, is_correct)
    wrong = p[(p < 0) | (p > 1)]
    if wrong.size:
        raise ValueError(f'confidences must be in [0, 1], got {wrong[0]}')
    return p.astype(np.float64), correct


def _unbiased_square(
    confidences: np.ndarray, correct: np.ndarray, num_bins: int
) -> float:
    ordered = np.sort(confidences)
    parts = np.array_split(ordered, min(num_bins, len(ordered) // 2))
    ends = np.cumsum([len(part) for part in parts])[:-1]
    edges = np.unique((ordered[ends - 1] + ordered[ends]) / 2)
    numbers, gaps, precisions = _bins(confidences, correct, edges)
    variances = precisions * (1 - precisions) / np.maximum(numbers - 1, 1)
    squares = np.where(numbers > 1, gaps**2 - variances, 0)
    return float(numbers @ squares / len(ordered))


def _bins(
    confidences: np.ndarray, correct: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of boxes, gaps and precisions of bins up to each edge."""
    where = np.searchsorted(edges, confidences)
    numbers = np.bincount(where, minlength=len(edges) + 1)
    counted = np.maximum(numbers, 1)
    means = np.bincount(where, confidences, len(numbers)) / counted
    precisions = np.bincount(where, correct, len(numbers)) / counted
    return numbers, precisions - means, precisions
