"""Counts do not depend on how the scores came together."""

import pickle

import numpy as np
import pytest

from mmood.metrics import ScoreHistogram


def counted(scores, positive, num_bins=2**18):
    histogram = ScoreHistogram(num_bins)
    histogram.add(scores, positive)
    return histogram


def assert_same(a, b):
    for left, right in zip(a.curve(), b.curve()):
        np.testing.assert_array_equal(left, right)
    assert a.quantile(1.0) == b.quantile(1.0)


def mixture(n, kind='normal', seed=0):
    """Scores of several ranges, float32, about 2 % positive."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.02
    scores = rng.standard_normal(n) + 2 * positive
    if kind == 'far':
        scores = -24.3 + 0.2 * scores
    elif kind == 'ties':
        scores = np.round(2 * scores) / 7
    elif kind == 'tails':
        scores = np.sinh(8 * scores)
    return scores.astype(np.float32), positive


def reference_bins(scores, num_bins):
    """Lowest scores of the bins, from the definition, falling."""
    bits = (np.float32(scores) + 0).view(np.int32).astype(np.int64)
    keys = np.where(bits < 0, -(2**31) - bits - 1, bits)
    shift = 0
    while len(np.unique(keys // 2**shift)) > num_bins:
        shift += 1
    keys = np.unique(keys // 2**shift)[::-1] * 2**shift
    keys = np.maximum(keys, -0x7F800001)  # that of -inf
    bits = np.where(keys < 0, -(2**31) - keys - 1, keys)
    return bits.astype(np.int32).view(np.float32)


@pytest.mark.parametrize('num_bins', [2, 7, 64, 2**18])
@pytest.mark.parametrize('kind', ['normal', 'far', 'ties', 'tails'])
def test_order_of_adding_and_merging_does_not_matter(kind, num_bins):
    scores, positive = mixture(3000, kind)
    whole = counted(scores, positive, num_bins)
    thresholds, tps, _ = whole.curve()
    np.testing.assert_array_equal(thresholds, reference_bins(scores, num_bins))
    np.testing.assert_array_equal(
        tps, [(scores[positive] >= t).sum() for t in thresholds]
    )
    rng = np.random.default_rng(1)
    for pieces in (3, 40):
        # Rising scores, where each piece widens the range; any order.
        order = np.argsort(scores) if pieces == 3 else rng.permutation(3000)
        parts = np.array_split(order, pieces)
        streamed = ScoreHistogram(num_bins)
        ranks = [ScoreHistogram(num_bins) for _ in range(3)]
        for i, part in enumerate(parts):
            streamed.add(scores[part], positive[part])
            ranks[i % 3].add(scores[part], positive[part])
        assert_same(streamed, whole)
        for first, second, third in [(0, 1, 2), (2, 0, 1)]:
            merged = ranks[second].copy().merge(ranks[third])
            assert_same(ranks[first].copy().merge(merged), whole)


def test_one_large_array_equals_many_small_ones():
    scores, positive = mixture(1_100_000)
    pieces = ScoreHistogram(1000)
    for part in np.array_split(np.arange(scores.size), 7):
        pieces.add(scores[part], positive[part])
    assert_same(counted(scores, positive, 1000), pieces)
    assert pieces.num_positive == positive.sum()
    assert pieces.num_negative == (~positive).sum()


def test_growing_range_keeps_the_number_of_bins():
    histogram = ScoreHistogram(100)
    rng = np.random.default_rng(0)
    for exponent in range(-30, 30):
        scores = rng.normal(0, 10.0**exponent, 500)
        histogram.add(scores, scores > 0)
        assert len(histogram.curve()[0]) <= 100
    assert histogram.num_positive + histogram.num_negative == 30000
    # Sides of different signs never share a bin.
    assert histogram.auroc() == 1


def test_pickles_small_and_whole():
    histogram = counted(*mixture(40_000), num_bins=2000)
    data = pickle.dumps(histogram)
    assert len(data) < 20 * 2000 + 1000
    loaded = pickle.loads(data)
    assert_same(loaded, histogram)
    loaded.add(*mixture(500, seed=1))
    histogram.add(*mixture(500, seed=1))
    assert_same(loaded, histogram)


def test_copies_are_apart_and_merging_returns_itself():
    a, b = counted(*mixture(300)), counted(*mixture(200, seed=1))
    before, other = a.copy(), b.copy()
    assert a.merge(b) is a
    assert_same(b, other)
    assert before.num_negative + b.num_negative == a.num_negative
    twice = before.copy()
    twice.merge(twice)
    assert twice.num_positive == 2 * before.num_positive
    assert twice.auroc() == pytest.approx(before.auroc())


@pytest.mark.parametrize('num_bins', [8, 100, 2**18])
def test_flipped_takes_the_other_side_as_positive(num_bins):
    scores, positive = mixture(4000)
    positive[:1000] = True
    histogram = counted(scores, positive, num_bins)
    flipped = histogram.flipped()
    direct = counted(-scores, ~positive, num_bins)
    assert_same(flipped, direct)
    assert_same(flipped.flipped(), histogram)
    assert flipped.num_positive == histogram.num_negative
    assert flipped.auroc() == pytest.approx(histogram.auroc())
    for protocol in ('vos', 'quantile'):
        result = flipped.fpr_at_tpr(protocol=protocol)
        assert result == direct.fpr_at_tpr(protocol=protocol)


def test_flipped_keeps_ties_at_zero():
    flipped = counted([0.0, -0.0, 1, -1], [0, 1, 1, 0]).flipped()
    thresholds, tps, fps = flipped.curve()
    np.testing.assert_array_equal(thresholds, [1, 0, -1])
    np.testing.assert_array_equal(tps, [1, 2, 2])
    np.testing.assert_array_equal(fps, [0, 1, 2])


def test_empty_histograms_are_neutral():
    empty = ScoreHistogram()
    empty.add([], [])
    assert (empty.num_positive, empty.num_negative) == (0, 0)
    assert [len(column) for column in empty.curve()] == [0, 0, 0]
    full = counted(*mixture(50))
    assert_same(empty.copy().merge(full), full)
    assert_same(full.copy().merge(empty), full)
    assert len(empty.merge(empty).flipped().curve()[0]) == 0


def test_refused_scores_leave_the_counts_alone():
    scores, positive = mixture(50)
    histogram = counted(scores, positive)
    with pytest.raises(ValueError, match='2 nan of 3'):
        histogram.add([0.1, np.nan, np.nan], [0, 1, 1])
    with pytest.raises(ValueError, match='3 entries and is_positive 2'):
        histogram.add([0.1, 0.2, 0.3], [0, 1])
    with pytest.raises(ValueError, match='num_bins is 64, must be 262144'):
        histogram.merge(ScoreHistogram(64))
    assert_same(histogram, counted(scores, positive))
