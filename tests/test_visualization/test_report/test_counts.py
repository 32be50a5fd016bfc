"""Counts of the report against numpy on the scores themselves."""

import numpy as np
import pytest

from mmood.visualization.report.counts import (
    MOST_THRESHOLDS,
    Tally,
    bin_edges,
    pooled,
    steps,
    threshold_grid,
)


def random_scores(size, seed=0):
    """With ties."""
    return np.random.default_rng(seed).normal(size=size).round(2)


def test_nothing_at_all():
    empty = Tally(np.zeros(0))
    assert empty.total == empty.nans == 0
    assert empty.above(np.array([0.0])).tolist() == [0]
    assert empty.quantiles(np.array([0.5])).size == 0
    assert empty.histogram(np.linspace(0, 1, 5)).tolist() == [0] * 4
    assert threshold_grid(empty, [], 0.5).tolist() == [0.5]
    assert np.diff(bin_edges([empty])).min() > 0


@pytest.mark.parametrize('size', [1, 2, 500])
def test_above_and_quantiles(size):
    scores = random_scores(size)
    tally = Tally(scores)
    thresholds = np.r_[scores[:20], -9, 9, 0.005]
    expected = [(scores > t).sum() for t in thresholds]
    assert tally.above(thresholds).tolist() == expected
    levels = np.array([0, 0.05, 0.5, 0.95, 1])
    found = tally.quantiles(levels)
    quantiles = np.quantile(scores, levels, method='inverted_cdf')
    np.testing.assert_array_equal(found, quantiles)


def test_counted_scores_are_repeated_scores():
    values, counts = np.array([2.0, -1.0, 0.5]), np.array([3, 1, 4])
    one, other = Tally(values, counts), Tally(np.repeat(values, counts))
    thresholds = np.linspace(-2, 3, 40)
    assert one.total == other.total == 8
    assert (one.above(thresholds) == other.above(thresholds)).all()
    both = pooled([one, other])
    assert (both.above(thresholds) == 2 * one.above(thresholds)).all()


def test_nan_is_left_out_and_infinity_is_not():
    tally = Tally(np.array([np.nan, np.inf, 1, -np.inf]))
    assert (tally.total, tally.nans) == (3, 1)
    assert tally.above(np.array([-5.0, 1.0])).tolist() == [2, 1]
    grid = threshold_grid(tally, [tally], np.inf)
    assert np.isfinite(grid).all() and 1 in grid
    assert tally.histogram(np.array([0.0, 2, 4])).tolist() == [2, 1]


def test_histogram_has_what_lies_beyond_in_its_outer_bins():
    scores = random_scores(1000)
    edges = np.linspace(-1, 1, 21)
    found = Tally(scores).histogram(edges)
    expected, _ = np.histogram(np.clip(scores, -1, 1), edges)
    # numpy's last bin has both ends, as the clipped scores need.
    assert found.tolist() == expected.tolist() and found.sum() == 1000


def test_bins_cover_both_sides():
    low, high = random_scores(2000) - 50, random_scores(2000) + 50
    edges = bin_edges([Tally(low), Tally(high)])
    assert edges[0] < np.quantile(low, 0.01)
    assert edges[-1] > np.quantile(high, 0.99)


@pytest.mark.parametrize('sets', [1, 2, 30])
def test_no_step_of_the_threshold_moves_much(sets):
    known = Tally(random_scores(100_000))
    unknown = [
        Tally(np.random.default_rng(i).normal(i, 1, 50_000))
        for i in range(sets)
    ]
    start = 1.6449
    grid = threshold_grid(known, unknown, start)
    assert len(grid) <= MOST_THRESHOLDS and start in grid
    assert (np.diff(grid) > 0).all()
    above = known.above(grid)
    assert above[0] == known.total and above[-1] <= 0.0002 * known.total
    assert -np.diff(above).min() < 0.03 * known.total
    left = unknown[0].above(grid)
    assert left[0] == unknown[0].total
    assert -np.diff(left).min() < 0.07 * unknown[0].total


def test_steps_are_what_a_threshold_takes_off():
    tally = Tally(random_scores(300))
    grid = threshold_grid(tally, [], 0.0)
    left = tally.total - np.cumsum(steps(tally, grid))
    assert (left == tally.above(grid)).all()
