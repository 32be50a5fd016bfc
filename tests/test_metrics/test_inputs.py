"""What metrics take and refuse, whichever it is."""

import numpy as np
import pytest
import torch

from mmood.metrics import (
    NanScoreError,
    ScoreHistogram,
    auroc,
    average_precision,
    fpr_at_tpr,
)


def counted_auroc(scores, is_positive):
    histogram = ScoreHistogram()
    histogram.add(scores, is_positive)
    return histogram.auroc()


EVERY = [auroc, average_precision, fpr_at_tpr, counted_auroc]


@pytest.mark.parametrize('metric', EVERY)
def test_refuses_nan_scores_and_other_lengths(metric):
    with pytest.raises(NanScoreError, match='2 nan of 3'):
        metric([0.1, np.nan, np.nan], [0, 1, 1])
    with pytest.raises(ValueError, match='3 entries and is_positive 2'):
        metric([0.1, 0.2, 0.3], [0, 1])
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(3, 2\).*same shape'):
        metric(np.zeros((2, 3)), np.ones((3, 2)))


@pytest.mark.parametrize('metric', EVERY)
@pytest.mark.parametrize(
    ('labels', 'named'),
    [
        ([1, 0, 255, 255], r'got 255 \(2 of 4 are neither\): drop ignored'),
        ([1, 0, -1, 0], 'got -1 .* drop'),
        ([1, 0, 0.5, 1], 'got 0.5'),
        ([1, 0, np.nan, 1], 'got nan'),
        (np.ma.array([1, 0, 1, 1], mask=[0, 0, 1, 0]), '1 masked .* drop'),
        (['id', 'ood', 'id', 'id'], 'is_positive must be real numbers'),
        ([1, 0, 10**400, 1], 'is_positive must be numbers: int too large'),
        ([1, [0], 0, 1], 'is_positive must be numbers'),
    ],
)
def test_refuses_other_sides_than_two(metric, labels, named):
    with pytest.raises(ValueError, match=named):
        metric([0.9, 0.1, 0.95, 0.2], labels)


@pytest.mark.parametrize('metric', EVERY)
def test_infinite_scores_are_the_most_extreme(metric):
    scores = np.array([-np.inf, -np.inf, 0, 1, 2, 3, np.inf, np.inf])
    positive = [0, 1, 0, 1, 1, 0, 1, 0]
    expected = metric(np.clip(scores, -9, 9), positive)
    assert metric(scores, positive) == pytest.approx(expected)
    expected = metric([2, 1], [1, 0])
    assert metric([np.inf, 1], [1, 0]) == pytest.approx(expected)


@pytest.mark.parametrize('metric', EVERY)
@pytest.mark.parametrize(
    'dtype', [torch.bfloat16, torch.float16, torch.float64, torch.int64]
)
def test_tensors_of_any_precision_count(metric, dtype):
    scores = [-3, 0, 1, 1, 2, 5]
    positive = [0, 1, 0, 1, 0, 1]
    tensor = torch.tensor(scores).to(dtype)
    if dtype.is_floating_point:
        tensor.requires_grad_()
    expected = pytest.approx(metric(scores, positive))
    assert metric(tensor, torch.tensor(positive) > 0) == expected
    assert metric(tensor[None], torch.tensor(positive)[:, None]) == expected
    assert metric(np.array(scores, object), np.float16(positive)) == expected
