"""Words, rows and sliders from scores and limits."""

import math

import numpy as np
import pytest

from mmood.demo.verdicts import (
    Span,
    box_verdicts,
    class_shares,
    counted,
    percent,
    span,
    verdict,
)

NAN = math.nan


@pytest.mark.parametrize(
    ('score', 'limit', 'words'),
    [
        (2.0, 1.2, 'unknown, 0.8 above the limit'),
        (-3.0, -1.5, 'known, 1.5 below the limit'),
        (1.0, 1.0, 'known, on the limit'),
        (math.inf, 0.0, 'unknown, infinitely far above the limit'),
        (-math.inf, 0.0, 'known, infinitely far below the limit'),
        (NAN, 0.0, 'known: its score is no number'),
        (1.0, NAN, 'known: there is no limit'),
    ],
)
def test_a_verdict_in_words(score, limit, words):
    assert verdict(score, limit) == words


def test_the_most_unknown_box_comes_first():
    found = box_verdicts('abcd', [0.9, 0.8, 0.7, 0.6], [0, NAN, 3, 1], 1)
    assert [box.name for box in found] == ['c', 'd', 'a', 'b']
    assert [box.is_unknown for box in found] == [True, False, False, False]
    assert found[0].confidence == 0.7
    assert box_verdicts([], [], [], 0) == []


def test_shares_of_the_classes():
    classes = np.array([[0, 0, 0, 2], [0, 0, 0, 7]])
    is_unknown = np.array([[1, 0, 0, 1], [0, 1, 1, 0]], bool)
    one, two, three = class_shares(['x', 'y', 'z'], classes, is_unknown)
    assert (one.name, one.share, one.unknown) == ('x', 6 / 8, 3 / 6)
    assert (two.name, two.share, two.unknown) == ('z', 1 / 8, 1)
    assert (three.name, three.unknown) == ('class 7', 0)


@pytest.mark.parametrize(
    ('scores', 'limit'),
    [
        ([1.0, 2.0], 1.5),
        ([1.0, 2.0], -8.0),
        ([3e-7, 5e-7], NAN),
        ([-4e5, 1e6], 0.0),
        ([2.0, 2.0], 2.0),
        ([0.0], 0.0),
        ([NAN, math.inf, 1.0], 3.0),
    ],
)
def test_a_slider_spans_scores_and_limit(scores, limit):
    found = span(np.array(scores), limit)
    values = [v for v in [*scores, limit] if math.isfinite(v)]
    assert found.low < min(values) <= max(values) < found.high
    wide = max(values) - min(values) or max(abs(values[0]), 1)
    assert found.high - found.low < 1.2 * wide
    for end in (found.low, found.high):
        assert end / found.step == pytest.approx(round(end / found.step))
    assert 500 <= (found.high - found.low) / found.step < 6000


@pytest.mark.parametrize('scores', [[], [NAN, math.inf]])
def test_a_slider_without_a_number(scores):
    found = span(np.array(scores), NAN)
    assert found.low < -0.99 and found.high > 0.99


def test_a_place_within_a_step_means_the_stored_limit():
    slider = Span(0, 1, 0.01)
    assert slider.limit(0.38, 0.3773) == 0.3773
    assert slider.limit(0.40, 0.3773) == 0.40
    assert slider.limit(0.40, NAN) == 0.40


def test_numbers_in_words():
    assert counted(1, 'box', 'boxes') == '1 box'
    assert counted(0, 'box', 'boxes') == '0 boxes'
    shares = [0, 0.0001, 0.0149, 0.5, 0.9999, 1]
    words = ['0.0', 'under 0.1', '1.5', '50.0', 'over 99.9', '100.0']
    assert [percent(share) for share in shares] == [f'{w} %' for w in words]
