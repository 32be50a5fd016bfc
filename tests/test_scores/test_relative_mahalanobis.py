"""RelativeMahalanobis against sklearn's covariances and numpy's inverse."""

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance

from helpers import assert_near
from mmood.scores import Mahalanobis, RelativeMahalanobis, Samples
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

C, K = 7, 4


def fitted(samples, labels, step=1000, **options):
    return fit(RelativeMahalanobis(C, K, **options), samples, labels, step)


def expected_of(train, labels, x):
    """Both distances of sklearn: within classes, and of all samples."""
    train, labels, x = train.double().numpy(), labels.numpy(), x.double()
    means = [train[labels == c].mean(0) for c in np.unique(labels)]
    index = np.searchsorted(np.unique(labels), labels)
    own = EmpiricalCovariance(assume_centered=True)
    own.fit(train - np.stack(means)[index])
    total = EmpiricalCovariance().fit(train)
    precision = np.linalg.inv(own.covariance_)
    found = []
    for row in x.numpy():
        near = min((row - m) @ precision @ (row - m) for m in means)
        found.append(near - total.mahalanobis(row[None])[0])
    return np.array(found)


@pytest.mark.parametrize('step', [9, 1000])
def test_it_is_the_difference_of_two_distances(step):
    train, labels = linear_samples(300)
    x = 2 * linear_samples(25, seed=1)[0].features
    score = fitted(train, labels, step)
    found = score(Samples(features=x))
    expected = expected_of(train.features, labels, x)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    assert expected.min() < 0 < expected.max()
    everything = train.features.double()
    assert_near(score.total_mean, everything.mean(0))
    covariance = torch.cov(everything.T, correction=0)
    precision = score.total_whitening @ score.total_whitening.T
    assert_near(precision @ covariance, torch.eye(C).double())


def test_of_unit_length():
    train, labels = linear_samples(300)
    x = linear_samples(25, seed=1)[0].features
    score = fitted(train, labels, normalize=True)
    found = score(Samples(features=x))
    train, x = (v / v.norm(dim=1, keepdim=True) for v in (train.features, x))
    expected = expected_of(train, labels, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_maps_are_rows():
    train, labels = linear_samples(300)
    score = fitted(train, labels)
    x = linear_samples(40, seed=1)[0]
    maps = as_maps(x)
    assert_near(score(maps), score(x).view(2, 4, 5))
    again = RelativeMahalanobis(C, K)
    again.reset()
    again.update(as_maps(train), labels.view(2, 30, 5))
    again.finish()
    assert_near(again(x), score(x))


def test_a_class_without_samples_is_left_out():
    train, labels = linear_samples(300)
    labels = labels.clamp(max=1) * 2
    with pytest.warns(UserWarning, match='class 1, 3: it is left out'):
        score = fitted(train, labels)
    x = linear_samples(9, seed=1)[0].features
    expected = expected_of(train.features, labels, x)
    np.testing.assert_allclose(score(Samples(features=x)), expected, 1e-6)


def test_fewer_samples_than_channels():
    """Only what they span counts: their own distances are small numbers."""
    train, _ = linear_samples(6)
    labels = torch.arange(6) % 2
    with pytest.warns(UserWarning, match='class 2, 3'):
        score = fitted(train, labels)
    x = train.features.double()
    centered = (x - x.mean(0)).numpy()
    total = np.linalg.pinv(centered.T @ centered / 6, hermitian=True)
    background = np.einsum('nc,cd,nd->n', centered, total, centered)
    with pytest.warns(UserWarning, match='class 2, 3'):
        near = fit(Mahalanobis(C, K), train, labels)(train)
    expected = near.numpy() - background
    np.testing.assert_allclose(score(train), expected, rtol=1e-5, atol=1e-6)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes=1: take 'mahalanobis'"):
        RelativeMahalanobis(C, 1)
    train, labels = linear_samples(30)
    score = RelativeMahalanobis(C, K)
    score.reset()
    score.update(train, torch.zeros_like(labels))
    with pytest.raises(ValueError, match='all 30 samples are of one'):
        score.finish()
    assert not score.is_fitted


def test_no_sample_and_constant_features():
    empty = Samples(features=torch.zeros(0, C))
    with pytest.raises(ValueError, match='to fit RelativeMahalanobis on'):
        fitted(empty, torch.zeros(0).long())
    same = Samples(features=torch.ones(8, C))
    with pytest.raises(ValueError, match='variance of 0'):
        fitted(same, torch.arange(8) % K)


def test_it_is_that_of_pytorch_ood():
    """Up to a factor: its scatter is not divided by the number."""
    RMD = detector('rmd', 'RMD')
    train, labels = linear_samples(300)
    x = linear_samples(25, seed=1)[0].features
    other = RMD(None).fit_features(train.features, labels)
    expected = 300 * other.predict_features(x).double()
    found = fitted(train, labels)(Samples(features=x))
    assert_near(found, expected, rtol=1e-3, atol=1e-3)
