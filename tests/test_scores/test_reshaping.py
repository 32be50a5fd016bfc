"""ASH and SCALE against the papers' steps, a sample at a time in numpy.

Shapes: N samples, C channels, K classes.
"""

import math

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.scores import (
    ASH,
    LinearClassifier,
    Samples,
    Scale,
    ash,
    energy,
    max_logit,
    scale,
)
from pytorch_ood_helpers import detector

C, K = 40, 4
PERCENTILES = [0, 10, 37.5, 65, 90, 99.9]


def by_hand(row, percentile, kind):
    count = max(1, len(row) - int(np.round(len(row) * percentile / 100)))
    stays = np.argsort(row)[len(row) - count :]
    pruned = np.zeros_like(row)
    pruned[stays] = row[stays]
    factor = np.exp(row.sum() / pruned.sum())
    if kind == 'B':
        pruned[stays] = row.sum() / count
    return dict(S=pruned * factor, P=pruned, B=pruned, scale=row * factor)[
        kind
    ]


def positive(count=6, channels=C):
    return torch.rand(count, channels) ** 3


@pytest.mark.parametrize('percentile', PERCENTILES)
@pytest.mark.parametrize('kind', ['S', 'P', 'B', 'scale'])
@pytest.mark.parametrize('channels', [1, 3, C])
def test_against_numpy(kind, percentile, channels):
    x = positive(channels=channels).double()
    expected = [by_hand(row, percentile, kind) for row in x.numpy()]
    if kind == 'scale':
        found = scale(x, percentile)
    else:
        found = ash(x, percentile, kind)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def call(kind, x, percentile=65):
    if kind == 'scale':
        return scale(x, percentile)
    return ash(x, percentile, kind)


@pytest.mark.parametrize('kind', ['S', 'P', 'B', 'scale'])
def test_maps_are_rows(kind):
    x = positive(20)
    maps = x.view(2, 5, 2, C).permute(0, 3, 1, 2)
    expected = call(kind, x).view(2, 5, 2, C).permute(0, 3, 1, 2)
    assert_near(call(kind, maps), expected)
    assert call(kind, maps[:0]).shape == (0, C, 5, 2)


@pytest.mark.parametrize('kind', ['S', 'P', 'B', 'scale'])
def test_features_of_zeros_stay_zeros(kind):
    x = positive(2)
    x[1] = 0
    found = call(kind, x)
    assert torch.isfinite(found).all() and found[0].any()
    assert not found[1].any()


def test_of_equal_features_the_first_channels_stay():
    """Behind a ReLU more than those that stay may be 0."""
    x = torch.tensor([[0.0, 0, 6, 0, 0, 3, 0, 0]])
    found = ash(x, 50, 'B')
    assert found.tolist() == [[2.25, 2.25, 2.25, 0, 0, 2.25, 0, 0]]
    many = torch.zeros(2, 4000)
    many[:, -1] = 1
    assert ash(many, 90, 'B')[0].nonzero()[:, 0].tolist() == [
        *range(399),
        3999,
    ]


def test_without_pruning():
    x = positive()
    assert_near(ash(x, 0, 'P'), x)
    assert_near(ash(x, 0, 'S'), math.e * x)
    assert_near(scale(x, 0), math.e * x)
    assert_near(ash(x, 0, 'B'), x.mean(1, keepdim=True).expand_as(x))


@pytest.mark.parametrize('kind', ['S', 'scale'])
def test_values_below_zero_and_very_many_channels_stay_finite(kind):
    x = torch.randn(50, C)
    x[0] = -1
    assert torch.isfinite(call(kind, x)).all()
    assert_near(call(kind, x)[0].sum(), call(kind, -x[:1].abs()).sum())
    flat = torch.ones(1, 5000)  # the ratio is 1000
    found = call(kind, flat, 99.9)
    assert found.max().item() == pytest.approx(math.exp(80), rel=1e-4)


@pytest.mark.parametrize('kind', ['S', 'P', 'B', 'scale'])
def test_half_precision_is_raised(kind):
    x = positive().bfloat16()
    found = call(kind, x)
    assert found.dtype == torch.float32
    assert_near(found, call(kind, x.float()))


def linear(x):
    classify = LinearClassifier(torch.randn(K, C), torch.randn(K))
    return Samples(classify(x), x, classifier=classify), classify


@pytest.mark.parametrize(
    ('score', 'change'),
    [
        (ASH(C, K), lambda x: ash(x, 90, 'S')),
        (ASH(C, K, kind='P'), lambda x: ash(x, 60, 'P')),
        (ASH(C, K, kind='B'), lambda x: ash(x, 65, 'B')),
        (ASH(C, K, percentile=30), lambda x: ash(x, 30, 'S')),
        (Scale(C, K), lambda x: scale(x, 85)),
        (Scale(C, K, percentile=20), lambda x: scale(x, 20)),
    ],
)
def test_the_scores_see_the_logits_of_changed_features(score, change):
    samples, classify = linear(positive())
    expected = energy(classify(change(samples.features)))
    assert_near(score(samples), expected)
    assert (expected - energy(samples.logits)).abs().min() > 1e-3


def test_an_inner_score_is_chosen_by_name_or_config():
    samples, classify = linear(positive())
    changed = classify(scale(samples.features, 85))
    found = Scale(C, K, score='max_logit')(samples)
    assert_near(found, max_logit(changed))
    config = dict(type='energy', temperature=3.0)
    assert_near(
        Scale(C, K, score=config)(samples), energy(changed, temperature=3.0)
    )


@pytest.mark.parametrize('percentile', [-1, 100, 250, float('nan')])
def test_percentiles_that_are_none(percentile):
    message = rf'percentile must be in \[0, 100\), got {percentile}'
    for refused in (
        lambda: ash(torch.ones(1, 2), percentile),
        lambda: scale(torch.ones(1, 2), percentile),
        lambda: ASH(C, K, percentile=percentile),
        lambda: Scale(C, K, percentile=percentile),
    ):
        with pytest.raises(ValueError, match=message):
            refused()


def test_an_unknown_kind():
    for refused in (
        lambda: ash(torch.ones(1, 2), kind='X'),
        lambda: ASH(C, K, kind='X'),
    ):
        with pytest.raises(ValueError, match="'S', 'P', 'B'.*got 'X'"):
            refused()


@pytest.mark.parametrize('name', ['ash_s', 'ash_p', 'ash_b', 'scale'])
def test_pytorch_ood(name):
    other = detector(name.split('_')[0], name)
    x = positive()
    expected = other(x[..., None, None].clone(), 0.65)[..., 0, 0]
    found = call(name[4:].upper() if name != 'scale' else name, x)
    assert_near(found, expected)
