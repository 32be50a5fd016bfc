"""Calibration of confidences against sklearn, plain loops and by hand."""

import math
import warnings

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from mmood.metrics import (
    EmptySetWarning,
    calibration_metrics,
    expected_calibration_error,
    marginal_calibration_error,
)

KEYS = ('ECE', 'marginal_CE', 'NLL', 'Brier')
SIDES = ('NLL_correct', 'Brier_correct', 'NLL_wrong', 'Brier_wrong')


def boxes(seed=0, count=500):
    """Overconfident boxes of three classes."""
    rng = np.random.default_rng(seed)
    confidences = rng.random(count)
    correct = rng.random(count) < confidences**2
    return confidences, correct, rng.integers(3, size=count)


def test_proper_scores_equal_those_of_sklearn():
    p, y, labels = boxes()
    found = calibration_metrics(p, y, labels)
    assert found['NLL'] == pytest.approx(log_loss(y, p))
    assert found['Brier'] == pytest.approx(brier_score_loss(y, p))
    for side, rows in (('correct', y), ('wrong', ~y)):
        nll = log_loss(y[rows], p[rows], labels=[0, 1])
        brier = np.mean((p[rows] - y[rows]) ** 2)
        assert found[f'NLL_{side}'] == pytest.approx(nll)
        assert found[f'Brier_{side}'] == pytest.approx(brier)


@pytest.mark.parametrize('num_bins', [1, 10, 15])
def test_expected_error_equals_the_curve_of_sklearn(num_bins):
    p, y, _ = boxes(1)
    shares, means = calibration_curve(y, p, n_bins=num_bins)
    numbers, _ = np.histogram(p, num_bins, (0, 1))
    expected = numbers[numbers > 0] @ np.abs(shares - means) / len(p)
    found = expected_calibration_error(p, y, num_bins)
    assert found == pytest.approx(expected)
    assert 0.05 < found < 0.5


def test_expected_error_by_hand():
    # Bins of 1 / 15: 0.9 and 0.92 share one, of which one box is correct.
    p, y = [0.9, 0.92, 0.1], [1, 0, 0]
    expected = (2 * abs(0.5 - 0.91) + abs(0 - 0.1)) / 3
    assert expected_calibration_error(p, y) == pytest.approx(expected)
    # One is as good as all, and the ends belong to a bin.
    assert expected_calibration_error([0.0, 1.0], [0, 1]) == 0
    assert expected_calibration_error([0.0, 1.0], [1, 0]) == 1
    # An edge is of the bin below: 0.5 and 0.3 make one of half.
    assert expected_calibration_error([0.5, 0.3], [1, 0], 2) == pytest.approx(
        0.1
    )


def plain_marginal(p, y, labels, num_bins=15):
    """Bins of equal numbers, one after the other; no equal confidences."""
    squares = []
    for label in np.unique(labels):
        rows = labels == label
        order = np.argsort(p[rows])
        parts = min(num_bins, rows.sum() // 2)
        total = 0.0
        for part in np.array_split(order, parts):
            hits, means = y[rows][part].mean(), p[rows][part].mean()
            variance = hits * (1 - hits) / (len(part) - 1)
            share = len(part) / rows.sum()
            total += share * ((hits - means) ** 2 - variance)
        squares.append(max(total, 0))
    return math.sqrt(np.mean(squares))


@pytest.mark.parametrize('count', [30, 500, 3001])
def test_marginal_error_equals_plain_loops(count):
    p, y, labels = boxes(2, count)
    found = marginal_calibration_error(p, y, labels)
    assert found == pytest.approx(plain_marginal(p, y, labels))
    assert found > 0.05


def test_marginal_error_by_hand():
    # One bin of 0.6: half are correct, variance 0.25 / 3.
    p, y = [0.6] * 4, [1, 0, 1, 0]
    assert marginal_calibration_error(p, y, [0] * 4) == 0
    # All wrong: no variance. The other class has one box, and does not count.
    found = marginal_calibration_error([*p, 0.5], [0] * 5, [0] * 4 + [1])
    assert found == pytest.approx(0.6)
    # A perfect class beside it.
    found = marginal_calibration_error(
        [*p, 1, 1], [0] * 4 + [1, 1], [0] * 4 + [1, 1]
    )
    assert found == pytest.approx(0.6 / math.sqrt(2))


def test_an_unbiased_estimate_is_near_zero_where_confidences_are_true():
    """The plain mean of squares would be near sqrt(15 / 4 / 3000)."""
    rng = np.random.default_rng(0)
    p = rng.random(3000)
    errors = [
        marginal_calibration_error(p, rng.random(3000) < p, np.zeros(3000))
        for _ in range(20)
    ]
    assert np.mean(errors) < 0.02


def test_no_box_and_one_side():
    with pytest.warns(EmptySetWarning, match='no correct and no wrong box'):
        found = calibration_metrics([], [], [])
    assert list(found) == [*KEYS, *SIDES]
    assert all(map(math.isnan, found.values()))
    with pytest.warns(EmptySetWarning, match='no wrong box among 2'):
        found = calibration_metrics([0.5, 0.5], [1, 1], [0, 0])
    assert found['NLL'] == found['NLL_correct'] == pytest.approx(math.log(2))
    assert found['Brier'] == found['ECE'] ** 2 == 0.25
    assert math.isnan(found['NLL_wrong']) and math.isnan(found['Brier_wrong'])
    with pytest.warns(EmptySetWarning, match='no correct box among 1'):
        found = calibration_metrics([0.5], [0], [0])
    assert math.isnan(found['marginal_CE'])


def test_sure_and_wrong_is_finite():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = calibration_metrics(
            np.float32([1, 1]), np.array([True, False]), [0, 0]
        )
    assert found['NLL_correct'] == 0
    assert found['NLL_wrong'] == pytest.approx(23 * math.log(2))
    assert found['Brier_wrong'] == 1


def test_what_is_refused():
    with pytest.raises(ValueError, match=r'in \[0, 1\], got 1.5'):
        expected_calibration_error([0.5, 1.5], [0, 1])
    with pytest.raises(ValueError, match='1 nan of 2'):
        calibration_metrics([0.5, np.nan], [0, 1], [0, 0])
    with pytest.raises(ValueError, match='1 labels of 2 boxes'):
        marginal_calibration_error([0.5, 0.5], [0, 1], [0])
    with pytest.raises(ValueError, match='must be 0 or 1, got 2'):
        expected_calibration_error([0.5, 0.5], [0, 2])
