"""DICE against numpy. Shapes: N samples, C channels, K classes."""

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.scores import DICE, LinearClassifier, energy, largest_contributions
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

C, K = 7, 4


@pytest.mark.parametrize('percentile', [1, 30, 70.0, 90])
@pytest.mark.parametrize('step', [7, 1000])
def test_the_largest_contributions_stay(percentile, step):
    train, labels = linear_samples(200)
    x = linear_samples(30, seed=1)[0]
    score = fit(DICE(C, K, percentile=percentile), train, labels, step)
    weight = train.classifier.weight.double().numpy()
    mean = train.features.double().numpy().mean(0)
    np.testing.assert_allclose(score.mean.numpy(), mean, rtol=1e-6)
    parts = weight * mean
    mask = parts > np.percentile(parts, percentile)
    share = 1 - percentile / 100
    assert mask.mean() == pytest.approx(share, abs=1 / mask.size)
    z = x.features.double().numpy() @ (weight * mask).T
    z = torch.from_numpy(z) + x.classifier.bias
    assert_near(score(x).double(), energy(z))


def test_maps_are_rows():
    train, labels = linear_samples(200)
    x = linear_samples(40, seed=1)[0]
    score = fit(DICE(C, K), train, labels)
    assert_near(score(as_maps(x)), score(x).view(2, 4, 5))
    again = DICE(C, K)
    again.reset()
    again.update(as_maps(train), labels.view(2, 20, 5))
    again.finish()
    assert_near(again.mean, score.mean)


def test_at_the_percentile_0_all_weights_stay():
    train, labels = linear_samples(200)
    x = linear_samples(30, seed=1)[0]
    score = fit(DICE(C, K, percentile=0), train, labels)
    assert_near(score(x), energy(x.logits))


def test_dead_channels_contribute_nothing():
    """Where half are dead, the median of what they contribute is 0."""
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    mean = torch.tensor([0.0, 1.0, 0.0, 1.0])
    mask = largest_contributions(weight, mean, 40)
    assert mask.tolist() == [[False, True, False, True]]


def test_the_mask_follows_the_weights_of_the_model():
    """As where an average takes their place."""
    train, labels = linear_samples(200)
    score = fit(DICE(C, K), train, labels)
    own = train.classifier
    train.classifier = LinearClassifier(-own.weight, own.bias)
    mask = largest_contributions(-own.weight, score.mean, 90)
    z = train.features @ (-own.weight * mask).T + own.bias
    assert_near(score(train), energy(z))


def test_no_sample():
    with pytest.raises(ValueError, match='no sample to fit DICE on'):
        fit(DICE(C, K), *linear_samples(0))


@pytest.mark.parametrize('percentile', [-1, 100, float('nan')])
def test_percentiles_that_are_none(percentile):
    message = rf'\[0, 100\), got {percentile}'
    with pytest.raises(ValueError, match=message):
        DICE(C, K, percentile=percentile)
    with pytest.raises(ValueError, match=message):
        largest_contributions(torch.ones(1, 2), torch.ones(2), percentile)


def test_pytorch_ood():
    train, labels = linear_samples(200)
    x = linear_samples(30, seed=1)[0]
    weight, bias = train.classifier.weight, train.classifier.bias
    other = detector('dice', 'DICE')(None, weight, bias, 0.7)
    other.fit_features(train.features, labels)
    score = fit(DICE(C, K, percentile=70), train, labels)
    assert_near(score(x), other.predict_features(x.features))
