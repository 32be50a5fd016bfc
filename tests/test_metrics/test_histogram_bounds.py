"""Bounds of counted metrics contain the exact values."""

import numpy as np
import pytest

from mmood.metrics import (
    PROTOCOLS,
    ScoreHistogram,
    auroc,
    average_precision,
    fpr_at_tpr,
)


def counted(scores, positive, num_bins):
    histogram = ScoreHistogram(num_bins)
    histogram.add(scores, positive)
    return histogram


def small_set(rng, permuted):
    """60 float32 scores, in equal steps at times, every third positive.

    Equal steps make straight pieces, of which DOoD's rule takes the ends.
    """
    positive = np.arange(60) % 3 == 0
    if permuted:
        positive = rng.permutation(positive)
    scores = np.arange(60) // rng.integers(1, 4) * 0.37 - 5
    start = rng.integers(0, 50)
    scores[start : start + 10] = rng.normal(0, 6, 10)
    return scores.astype(np.float32), positive


@pytest.mark.parametrize('num_bins', [2, 3, 5, 9, 16])
def test_bounds_hold_for_coarse_bins(num_bins):
    rng = np.random.default_rng(num_bins)
    moved = 0
    for trial in range(40):
        scores, positive = small_set(rng, trial % 2)
        tpr = float(rng.choice([0.1, 0.5, 0.8, 0.95, 1.0]))
        histogram = counted(scores, positive, num_bins)
        exact = dict(AUROC=auroc(scores, positive))
        moved += histogram.auroc() != exact['AUROC']
        for protocol in PROTOCOLS:
            exact['AP'] = average_precision(
                scores, positive, protocol=protocol
            )
            exact['FPR'] = fpr_at_tpr(scores, positive, tpr, protocol)
            bounds = histogram.bounds(tpr, protocol)
            for name, (low, high) in bounds.items():
                assert low - 1e-12 <= exact[name] <= high + 1e-12, protocol
    assert moved > 20


@pytest.mark.parametrize(('tpr', 'exact'), [(0.5, 1 / 32), (0.6, 1)])
def test_bounds_reach_to_the_ends_of_a_straight_curve(tpr, exact):
    # Each score once on both sides: only the ends of the curve are corners.
    scores = np.repeat(1 + np.arange(32) / 32, 2)
    positive = np.arange(64) % 2
    assert fpr_at_tpr(scores, positive, tpr, 'dood') == exact
    low, high = counted(scores, positive, 8).bounds(tpr, 'dood')['FPR']
    assert low <= exact <= high
    low, high = counted(scores, positive, 8).bounds(tpr, 'smiyc')['FPR']
    assert low < tpr <= high <= low + 1 / 8


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_bounds_meet_where_every_score_has_its_bin(protocol):
    scores, positive = small_set(np.random.default_rng(0), permuted=True)
    histogram = counted(scores, positive, num_bins=60)
    values = dict(
        AUROC=histogram.auroc(),
        AP=histogram.average_precision(protocol=protocol),
        FPR=histogram.fpr_at_tpr(0.8, protocol),
    )
    expected = {name: (value, value) for name, value in values.items()}
    assert histogram.bounds(0.8, protocol) == expected


def test_bounds_by_hand():
    # The scores 1 and 1.5 share a bin: 1/2 * 1/1 * 1/2 of AUROC is open.
    histogram = counted([-1, 1, 1.5], [0, 0, 1], num_bins=2)
    bounds = histogram.bounds(protocol='smiyc')
    assert histogram.auroc() == 0.75
    assert bounds['AUROC'] == (0.5, 1)
    assert bounds['FPR'] == (0, 0.5)
    # Negative first gives 1/2; the stated bound is an integral below it.
    assert histogram.average_precision() == 0.5
    assert bounds['AP'] == pytest.approx((1 - np.log(5 / 3), 1))
    assert counted([-1, 1, 1.5], [0, 0, 1], num_bins=3).auroc() == 1


def test_bounds_narrow_with_the_bins():
    rng = np.random.default_rng(0)
    positive = rng.random(50_000) < 0.02
    scores = rng.normal(0, 1, 50_000) + 2 * positive
    for num_bins, width in [(2**8, 0.2), (2**12, 0.02)]:
        bounds = counted(scores, positive, num_bins).bounds()
        assert all(0 < high - low < width for low, high in bounds.values())
