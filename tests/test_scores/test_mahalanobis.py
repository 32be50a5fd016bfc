"""Mahalanobis against sklearn's covariances and numpy's inverse."""

import importlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.linalg import pinvh
from sklearn.covariance import EmpiricalCovariance, shrunk_covariance
from sklearn.preprocessing import Normalizer

from helpers import assert_near
from mmood.scores import Samples
from mmood.scores.mahalanobis import Mahalanobis, Moments, mahalanobis

# The package's attribute of that name is the function.
module = importlib.import_module('mmood.scores.mahalanobis')


def of(x):
    return Samples(features=x)


def samples(count=200, channels=6, num_classes=3, dtype=torch.float64):
    """Correlated features whose classes lie apart, and their classes."""
    mixing = torch.randn(channels, channels, dtype=dtype)
    labels = torch.randint(num_classes, (count,))
    means = 5 * torch.randn(num_classes, channels, dtype=dtype)
    noise = torch.randn(count, channels, dtype=dtype)
    return noise @ mixing + means[labels], labels


def fitted(x, labels, num_classes=3, step=1000, **kwargs):
    score = Mahalanobis(x.shape[1], num_classes, **kwargs)
    score.reset()
    for part, own in zip(x.split(step), labels.split(step)):
        score.update(of(part), labels=own)
    score.finish()
    return score


def spread_of(x, labels):
    """Samples less their class's mean, and the means, of numpy."""
    x, labels = x.double().numpy(), labels.numpy()
    means = np.stack([x[labels == c].mean(0) for c in np.unique(labels)])
    index = np.searchsorted(np.unique(labels), labels)
    return x - means[index], means


def by_hand(x, means, precision):
    """The quadratic form, sample by sample and class by class."""
    x = x.double().numpy()
    return [
        min(float((row - mean) @ precision @ (row - mean)) for mean in means)
        for row in x
    ]


def sklearn_scores(train, labels, x, shrinkage=0.0):
    centered, means = spread_of(train, labels)
    model = EmpiricalCovariance(assume_centered=True).fit(centered)
    covariance = shrunk_covariance(model.covariance_, shrinkage)
    return by_hand(x, means, np.linalg.inv(covariance))


def test_known_numbers():
    means = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    precision = torch.diag(torch.tensor([4.0, 0.25]))
    x = torch.tensor([[1.0, 2.0], [9.0, 0.0], [10.0, 0.0], [5.0, 0.0]])
    scores = mahalanobis(x, means, precision)
    assert scores.dtype == torch.float64
    np.testing.assert_allclose(scores, [5, 4, 0, 100], atol=1e-12)


@pytest.mark.parametrize('num_classes', [1, 3, 30])
@pytest.mark.parametrize('count', [0, 1, 7, 40])
def test_function_is_the_quadratic_form(num_classes, count):
    root = torch.randn(5, 5, dtype=torch.float64)
    precision = root @ root.T + torch.eye(5)
    means = torch.randn(num_classes, 5, dtype=torch.float64)
    x = 3 * torch.randn(count, 5)
    expected = by_hand(x, means.numpy(), precision.numpy())
    scores = mahalanobis(x, means, precision)
    np.testing.assert_allclose(scores, expected, rtol=1e-10)


@pytest.mark.parametrize('shrinkage', [0.0, 0.3, 1.0])
@pytest.mark.parametrize('num_classes', [1, 3])
def test_fit_matches_sklearn(shrinkage, num_classes):
    train, labels = samples(num_classes=num_classes)
    score = fitted(train, labels, num_classes, shrinkage=shrinkage)
    x = 4 * torch.randn(20, 6)
    expected = sklearn_scores(train, labels, x, shrinkage)
    np.testing.assert_allclose(score(of(x)), expected, rtol=1e-9)
    assert score.count.tolist() == labels.bincount().tolist()


def test_of_unit_length():
    """Mahalanobis++: as of rows that sklearn's Normalizer has scaled."""
    train, labels = samples()
    x = 4 * torch.randn(20, 6)
    score = fitted(train, labels, normalize=True)
    rows, own = (
        torch.from_numpy(Normalizer().fit_transform(part.double()))
        for part in (train, x)
    )
    expected = sklearn_scores(rows, labels, own)
    np.testing.assert_allclose(score(of(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(score(of(7 * x)), expected, rtol=1e-5)
    maps = x.view(2, 2, 5, 6).permute(0, 3, 1, 2)
    np.testing.assert_allclose(score(of(maps)).flatten(), expected, 1e-5)
    assert torch.isfinite(score(of(0 * x))).all()


def test_no_shrinkage_gives_the_own_samples_the_mean_of_their_width():
    train, labels = samples(num_classes=1)
    assert fitted(train, labels, 1)(of(train)).mean().item() == pytest.approx(
        6
    )


@pytest.mark.parametrize('step', [1, 7, 200])
def test_the_batches_do_not_matter(step, monkeypatch):
    train, labels = samples()
    x = torch.randn(9, 6)
    whole = fitted(train, labels)(of(x))
    monkeypatch.setattr(module, 'CHUNK', 4)
    parts = fitted(train, labels, step=step)(of(x))
    np.testing.assert_allclose(parts, whole, rtol=1e-10)


def test_a_mean_far_from_zero_costs_no_digits():
    """Sums of squares would be 1e14 with a variance of 1."""
    train, labels = samples()
    x = torch.randn(40, 6, dtype=torch.float64)  # many take dot products
    near = fitted(train, labels, step=13)(of(x))
    far = fitted(train + 1e7, labels, step=13)(of(x + 1e7))
    np.testing.assert_allclose(far, near, rtol=1e-5)


def merge(ranks, patch):
    """What each of several ranks, here threads, gets from `merge`."""
    parts, barrier = [None] * len(ranks), threading.Barrier(len(ranks))
    own = threading.local()

    def all_reduce(x):
        parts[own.rank] = x.clone()
        barrier.wait(timeout=20)
        x.copy_(sum(parts))
        barrier.wait(timeout=20)

    def run(rank):
        own.rank = rank
        return ranks[rank].merge()

    patch.setattr(module, 'all_reduce', all_reduce)
    with ThreadPoolExecutor(len(ranks)) as pool:
        return list(pool.map(run, range(len(ranks))))


@pytest.mark.parametrize('shares', [[100, 100], [1, 199], [90, 0, 110]])
def test_ranks_merge_to_what_one_process_has(shares, monkeypatch):
    train, labels = samples()
    like = torch.zeros(3, 6, dtype=torch.float64)
    one, *ranks = [Moments(like) for _ in range(1 + len(shares))]
    one.add(train, labels)
    for rank, x, own in zip(ranks, train.split(shares), labels.split(shares)):
        rank.add(x, own)
    for count, mean, scatter in merge(ranks, monkeypatch):
        assert torch.equal(count, one.count)
        close = dict(rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(mean, one.mean, **close)
        torch.testing.assert_close(scatter, one.scatter, **close)


def test_maps_are_rows(monkeypatch):
    train, labels = samples(num_classes=2)
    score = fitted(train, labels, 2)
    x = torch.randn(2, 6, 4, 5)
    expected = score(of(x.permute(0, 2, 3, 1).reshape(-1, 6))).view(2, 4, 5)
    torch.testing.assert_close(score(of(x)), expected, rtol=1e-9, atol=0)
    maps = train.view(2, 10, 10, 6).permute(0, 3, 1, 2)
    again = fitted(maps, labels.view(2, 10, 10), 2)(of(x))
    np.testing.assert_allclose(again, expected, rtol=1e-10)
    assert score(of(x[:0])).shape == (0, 4, 5)


def test_fewer_samples_than_channels():
    """What the samples do not span does not count."""
    train, labels = samples(count=8, channels=20, num_classes=2)
    labels = torch.arange(8) % 2
    score = fitted(train, labels, 2)
    centered, means = spread_of(train, labels)
    inside = torch.from_numpy(means[0] + 0.5 * centered[0] - centered[2])
    precision = np.linalg.pinv(centered.T @ centered / 8, rcond=1e-9)
    expected = by_hand(inside[None], means[:1], precision)
    np.testing.assert_allclose(score(of(inside[None])), expected, rtol=1e-5)
    kernel = torch.linalg.svd(torch.from_numpy(centered))[2][6:]
    across = inside + 100 * torch.randn(3, 14, dtype=torch.float64) @ kernel
    expected = score(of(inside[None])).expand(3)
    torch.testing.assert_close(score(of(across)), expected, rtol=1e-6, atol=0)


def test_a_class_with_fewer_samples_than_channels():
    train, labels = samples(num_classes=2)
    labels[:] = 0
    labels[:2] = 1
    x = torch.randn(20, 6)
    expected = sklearn_scores(train, labels, x)
    score = fitted(train, labels, 2)(of(x))
    np.testing.assert_allclose(score, expected, rtol=1e-9)


@pytest.mark.parametrize('value', [0.0, 0.1, 1e4 / 3])
def test_a_constant_channel(value):
    """Dead ones do not count; 0.1 has rounding errors for a variance."""
    train, labels = samples(channels=5)
    constant = torch.full((200, 1), value, dtype=torch.float64)
    x = torch.randn(9, 5)
    score = fitted(torch.cat([train, constant], 1), labels, step=7)
    expected = sklearn_scores(train, labels, x)
    for value in (constant[:9], constant[:9] + 1):
        found = score(of(torch.cat([x.double(), value], 1)))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize('kind', ['full', 'dead', 'twice', 'few', 'scaled'])
def test_precision_is_the_pseudo_inverse(kind):
    """scipy's and torch's, at the same tolerance."""
    train, labels = samples(count=200, channels=7)
    if kind == 'dead':
        train[:, 3] = 0
    if kind == 'twice':
        train[:, 3] = train[:, 1]
    if kind == 'few':
        train, labels = train[:6], torch.arange(6) % 3
    if kind == 'scaled':
        train[:, 3] *= 1e-9  # a deviation of less than 1e-6 of the others
    score = fitted(train, labels)
    covariance = spread_of(train, labels)[0]
    covariance = covariance.T @ covariance / len(train)
    precision = (score.whitening @ score.whitening.T).numpy()
    close = dict(rtol=1e-7, atol=1e-9 * abs(precision).max())
    expected = pinvh(covariance, rtol=1e-12)
    np.testing.assert_allclose(precision, expected, **close)
    expected = torch.linalg.pinv(
        torch.from_numpy(covariance), rtol=1e-12, hermitian=True
    )
    np.testing.assert_allclose(precision, expected, **close)
    # And the function takes such a matrix for a precision.
    x = torch.randn(9, 7)
    found = mahalanobis(x, score.means, torch.from_numpy(precision))
    np.testing.assert_allclose(found, score(of(x)), rtol=1e-6)


def test_what_is_stored_does_not_depend_on_the_order():
    """Directions of equal variance could turn, and any could flip."""
    train, labels = samples(count=60)
    train = torch.cat([train, torch.eye(6), -torch.eye(6)])
    equal = torch.cat([torch.eye(6), -torch.eye(6)]).double()
    for x, c in (
        (train, torch.cat([labels, labels[:12]])),
        (equal, torch.zeros(12, dtype=torch.int64)),
    ):
        order = torch.randperm(len(x))
        one, two = fitted(x, c), fitted(x[order], c[order], step=7)
        assert_near(two.whitening, one.whitening)


def test_a_precision_is_not_negative():
    x, means = torch.zeros(1, 2), torch.zeros(1, 2)
    with pytest.raises(ValueError, match='precision has the eigenvalue -2'):
        mahalanobis(x, means, torch.diag(torch.tensor([1.0, -2.0])))


def test_a_class_without_samples_is_left_out():
    train, labels = samples(num_classes=3)
    labels = labels.clamp(max=1) * 2  # none of class 1 nor 3
    score = Mahalanobis(6, 4)
    score.reset()
    score.update(of(train), labels=labels)
    with pytest.warns(UserWarning, match='class 1, 3: it is left') as record:
        score.finish()
    assert len(record) == 1
    x = torch.zeros(3, 6)  # the mean that was never seen
    expected = sklearn_scores(train, labels, x)
    np.testing.assert_allclose(score(of(x)), expected, rtol=1e-9)
    score.reset()
    score.update(of(train), labels=labels)
    with pytest.warns(UserWarning, match=r'class 1 \(cat\), 3 \(cow\):'):
        score.finish(['ant', 'cat', 'bee', 'cow'])


def test_no_sample():
    score = Mahalanobis(6, 3)
    score.reset()
    score.update(
        of(torch.zeros(0, 6)), labels=torch.zeros(0, dtype=torch.int64)
    )
    with pytest.raises(ValueError, match='no sample .* annotations'):
        score.finish()
    assert not score.is_fitted
    with pytest.raises(ValueError, match='means .* no class'):
        mahalanobis(torch.zeros(1, 2), torch.zeros(0, 2), torch.eye(2))


@pytest.mark.parametrize('x', [[[1.0, 2.0]], [[3.0, 1.0]] * 4])
def test_samples_that_do_not_vary(x):
    x = torch.tensor(x)
    with pytest.raises(ValueError, match='variance of 0 .* more images'):
        fitted(x, torch.zeros(len(x), dtype=torch.int64), 1)


@pytest.mark.parametrize('shrinkage', [-0.1, 1.5, float('nan')])
def test_bad_shrinkage(shrinkage):
    with pytest.raises(ValueError, match=f'shrinkage .* got {shrinkage}'):
        Mahalanobis(2, 2, shrinkage=shrinkage)
