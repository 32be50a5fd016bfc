"""The evaluator's threshold against pixel by pixel counts."""

import numpy as np
import pytest

from mmood.metrics import (
    ScoreHistogram,
    best_f1_threshold,
    bin_frame,
    component_metrics,
)

F2 = [.1, .2, .3, .4, .5, .6, .7, .8, .9, .95,
      .15, .35, .55, .65, .75, .85, .97, .98, .99, .92]  # fmt: skip
F3 = np.random.RandomState(0).rand(60).round(3)


def edges_by_hand(scores, positive):
    """Quantiles of both sides and a margin, without repetitions."""
    margin = max((max(scores) - min(scores)) / 100, 0.01)
    edges = {min(scores) - margin, max(scores) + margin}
    for side in (scores[positive], scores[~positive]):
        if side.size:
            share = np.linspace(0, 1, min(384, side.size))
            edges |= set(np.quantile(side, share).tolist())
    return sorted(edges)


def threshold_by_hand(frames):
    """Try every edge; a pixel counts from the edge below it on."""
    below, sides, tried = [], [], set()
    for scores, positive in frames:
        edges = edges_by_hand(scores, positive)
        tried |= set(edges[:-1])
        for score, side in zip(scores, positive):
            below.append(max(edge for edge in edges if edge <= score))
            sides.append(side)
    below, sides = np.array(below), np.array(sides)

    def f1(edge):
        kept = below >= edge
        return 2 * (kept & sides).sum() / (kept.sum() + sides.sum())

    return max(sorted(tried, reverse=True), key=f1)


@pytest.mark.parametrize('kind', ['continuous', 'tied', 'saturated'])
def test_matches_counting(kind):
    rng = np.random.default_rng(0)
    for _ in range(15):
        frames = []
        for size in rng.integers(3, 40, rng.integers(1, 4)):
            positive = rng.random(size) < 0.4
            positive[:2] = True, False
            scores = rng.normal(0, 1, size) + positive
            if kind == 'tied':
                scores = scores.round()
            if kind == 'saturated':
                scores = scores.clip(-0.5, 0.5)
            frames.append((scores, positive))
        found = best_f1_threshold(bin_frame(*frame) for frame in frames)
        assert found == pytest.approx(threshold_by_hand(frames), abs=1e-12)


def test_counts_lie_in_bins_of_both_sides():
    rng = np.random.default_rng(0)
    positive = rng.random(5000) < 0.3
    scores = rng.normal(0, 1, 5000) + positive
    frame = bin_frame(scores, positive)
    # 384 quantiles a side, a margin at both ends; the last edge is no lower.
    assert len(frame.edges) == 2 * 384 + 1
    assert (np.diff(frame.edges) < 0).all()
    assert frame.positives.sum() == positive.sum()
    assert frame.negatives.sum() == 5000 - positive.sum()
    # The two extremes of a side are edges, one quantile apart from the rest.
    assert frame.positives.max() <= 15 and frame.negatives.max() <= 15


@pytest.mark.parametrize(
    ('scores', 'count', 'best'), [(F2, 10, 0.55), (F3, 40, 0.383)]
)
def test_golden_thresholds(scores, count, best):
    """PROTOCOLS.md, fixtures F2 and F3; the last or first are positive."""
    positive = np.arange(len(scores)) >= 10
    if count == 40:
        positive = np.arange(60) < 20
    found = best_f1_threshold([bin_frame(scores, positive)])
    assert found == pytest.approx(best)


def test_a_saturated_object_is_lost_by_its_rule_and_not_by_ours():
    label = np.zeros((6, 8), int)
    label[1:5, 1:5] = 1
    scores = np.where(label == 1, 1.0, np.linspace(0, 0.5, 48).reshape(6, 8))
    sizes = dict(min_prediction_size=1, min_object_size=1)
    threshold = best_f1_threshold([bin_frame(scores, label == 1)])
    assert threshold == 1
    their = component_metrics(
        [scores > threshold], [label], **sizes, protocol='smiyc'
    )
    assert their['F1*'] == 0
    histogram = ScoreHistogram()
    histogram.add(scores, label == 1)
    ours = component_metrics(
        [scores >= histogram.best_f1()[1]], [label], **sizes
    )
    assert ours['F1*'] == 1


def test_degenerate_frames():
    both, negatives = bin_frame([1, 2], [0, 1]), bin_frame([5.0], [0])
    empty = bin_frame([], [])
    assert empty.edges.shape == empty.positives.shape == (0,)
    assert best_f1_threshold([empty, both]) == best_f1_threshold([both])
    assert best_f1_threshold([both, negatives]) == 2
    for frames in ([], [empty], [negatives], [bin_frame([1], [1])]):
        assert np.isnan(best_f1_threshold(frames))
    constant = bin_frame(np.full(5, 0.3), [0, 1, 0, 1, 1])
    assert best_f1_threshold([constant]) == pytest.approx(0.3)


def test_refuses_what_has_no_quantiles():
    with pytest.raises(ValueError, match='2 infinite of 3; the bins of smiyc'):
        bin_frame([np.inf, -np.inf, 0], [0, 1, 1])
    with pytest.raises(ValueError, match='1 nan of 2'):
        bin_frame([np.nan, 0], [0, 1])
    with pytest.raises(ValueError, match='got 255'):
        bin_frame([1, 0], [0, 255])
