"""ReAct against numpy. Shapes: N samples, C channels, K classes."""

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.scores import ReAct, energy
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

C, K = 7, 4


@pytest.mark.parametrize('percentile', [0, 25.0, 90, 99.5])
@pytest.mark.parametrize('step', [7, 1000])
def test_features_are_cut_at_the_percentile_of_all_values(percentile, step):
    train, labels = linear_samples(200)
    x = linear_samples(30, seed=1)[0]
    score = fit(ReAct(C, K, percentile=percentile), train, labels, step)
    limit = np.percentile(train.features.numpy(), percentile)
    assert score.limit.item() == pytest.approx(limit, rel=1e-6)
    cut = torch.from_numpy(np.minimum(x.features.numpy(), limit))
    assert_near(score(x), energy(x.classifier(cut)))
    assert (score(x) != energy(x.logits)).any()


def test_maps_are_rows():
    train, labels = linear_samples(200)
    x = linear_samples(40, seed=1)[0]
    score = fit(ReAct(C, K), train, labels)
    assert_near(score(as_maps(x)), score(x).view(2, 4, 5))
    again = ReAct(C, K)
    again.reset()
    again.update(as_maps(train), labels.view(2, 20, 5))
    again.finish()
    assert_near(again.limit, score.limit)


def test_far_above_the_features_nothing_is_cut():
    train, labels = linear_samples(200)
    train.features *= 100
    x = linear_samples(30, seed=1)[0]
    score = fit(ReAct(C, K, percentile=99.9), train, labels)
    assert_near(score(x), energy(x.logits))


def test_a_sample_of_the_samples_will_do():
    """Its size bounds the memory; the limit is near that of all."""
    train, labels = linear_samples(4000)
    all_of_them = fit(ReAct(C, K), train, labels)
    some = fit(ReAct(C, K, sample_size=500), train, labels)
    assert some.limit != all_of_them.limit
    assert_near(some.limit, all_of_them.limit, rtol=0.1)
    again = fit(ReAct(C, K, sample_size=500), train, labels, step=77)
    assert_near(again.limit, some.limit)


def test_no_sample():
    with pytest.raises(ValueError, match='no sample to fit ReAct on'):
        fit(ReAct(C, K), *linear_samples(0))


def test_another_percentile_than_that_of_the_fit():
    train, labels = linear_samples(50)
    score, other = fit(ReAct(C, K), train, labels), ReAct(C, K, percentile=95)
    other.load_state_dict(score.state_dict())
    with pytest.raises(RuntimeError, match='percentile 90, not 95: run'):
        other(train)


@pytest.mark.parametrize('percentile', [-1, 100, float('nan')])
def test_percentiles_that_are_none(percentile):
    with pytest.raises(ValueError, match=rf'\[0, 100\), got {percentile}'):
        ReAct(C, K, percentile=percentile)


def test_a_sample_of_none():
    with pytest.raises(ValueError, match='size must be at least 1, got 0'):
        ReAct(C, K, sample_size=0)


def test_pytorch_ood():
    train, labels = linear_samples(200)
    x = linear_samples(30, seed=1)[0]
    other = detector('react', 'ReAct')(
        None, lambda maps: x.classifier(maps[..., 0, 0])
    )
    other.fit_feature_maps(train.features[..., None, None], labels)
    expected = other.predict_feature_maps(x.features[..., None, None])
    assert_near(fit(ReAct(C, K), train, labels)(x), expected)
