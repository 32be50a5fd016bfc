"""OpenMax against plain loops and scipy's distributions."""

import sys

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine, euclidean
from scipy.special import softmax
from scipy.stats import gumbel_l

from helpers import assert_near
from mmood.scores import OpenMax, Samples, openmax
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

K = 4


def logits_of(count, seed=0):
    samples, labels = linear_samples(count, seed)
    return Samples(samples.logits), labels


def tails_by_hand(train, labels, tail_size, weight):
    """Of each class the mean, and scipy's distribution of the largest
    distances to it: what Weibull's becomes, from so far off."""
    logits, labels = train.logits.double().numpy(), labels.numpy()
    found = {}
    for c in range(logits.shape[1]):
        own = logits[(labels == c) & (logits.argmax(1) == c)]
        if not len(own):
            continue
        mean = own.mean(0)
        distances = sorted(distance(row, mean, weight) for row in own)
        tail = np.array(distances[-tail_size:])
        if np.ptp(tail) > 0:
            found[c] = mean, gumbel_l(*gumbel_l.fit(tail))
    return found


def distance(row, mean, weight):
    return weight * euclidean(row, mean) + cosine(row, mean)


def openmax_by_hand(x, tails, alpha, weight):
    found = []
    for v in x.logits.double().numpy():
        revised, unknown = v.copy(), 0.0
        for i, c in enumerate(v.argsort()[::-1][:alpha]):
            if c not in tails:
                continue
            mean, usual = tails[c]
            share = usual.cdf(distance(v, mean, weight)) * (alpha - i) / alpha
            revised[c] = v[c] * (1 - share)
            unknown += v[c] * share
        found.append(softmax([unknown, *revised])[0])
    return found


@pytest.mark.parametrize('alpha', [1, 2, 10])
@pytest.mark.parametrize('weight', [1 / 200, 1.0])
@pytest.mark.parametrize(('tail_size', 'step'), [(20, 1000), (9, 7)])
def test_it_is_that_of_plain_loops(
    alpha, weight, tail_size, step, monkeypatch
):
    monkeypatch.setattr(sys.modules[OpenMax.__module__], 'CHUNK', 3)
    (train, labels), (x, _) = logits_of(400), logits_of(40, seed=1)
    options = dict(tail_size=tail_size, euclidean_weight=weight)
    score = fit(OpenMax(K, alpha=alpha, **options), train, labels, step)
    tails = tails_by_hand(train, labels, tail_size, weight)
    expected = openmax_by_hand(x, tails, min(alpha, K), weight)
    np.testing.assert_allclose(score(x), expected, rtol=0.02, atol=2e-3)
    assert np.ptp(expected) > 0.3
    right = labels[train.logits.argmax(1) == labels]
    assert score.count.tolist() == right.bincount(minlength=K).tolist()


def test_known_numbers():
    """Surely beyond what is usual, and surely not."""
    means, scale = torch.eye(2).double(), torch.tensor([1e-6, 1e6])
    weibulls = torch.stack([torch.full((2,), 9.0), scale, torch.zeros(2)])
    v = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    found = openmax(v, means, weibulls.double(), 2, 1.0)
    expected = [softmax([0, 0, 2])[0], softmax([3, 0, 0])[0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # The first of two ranks counts whole, the second half.
    weibulls[1] = 1e-6
    found = openmax(v + 1, means, weibulls.double(), 2, 1.0)
    expected = [softmax([3.5, 0.5, 0])[0], softmax([4.5, 0, 0.5])[0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_maps_are_rows():
    (train, labels), (x, _) = logits_of(400), logits_of(40, seed=1)
    score = fit(OpenMax(K), train, labels)
    assert_near(score(as_maps(x)), score(x).view(2, 4, 5))
    again = OpenMax(K)
    again.reset()
    again.update(as_maps(train), labels.view(2, 40, 5))
    again.finish()
    assert_near(again(x), score(x))


def test_outliers_score_higher():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400, K, generator=generator)
    labels = torch.arange(400) % K
    train = Samples(noise + 8 * torch.eye(K)[labels])
    score = fit(OpenMax(K), train, labels)
    between = Samples(noise + 4 * torch.eye(K)[labels] + 4)
    assert score(train).median() < 0.05 < 0.5 < score(between).median()


def test_a_sample_of_bounded_size_has_a_tail():
    train, labels = logits_of(400)
    score = OpenMax(K, sample_size=10, tail_size=5)
    one, two = (fit(score, train, labels, step)(train) for step in (1000, 7))
    assert_near(one, two)
    everything = fit(OpenMax(K, tail_size=5), train, labels)(train)
    assert (one - everything).abs().max() > 1e-3


def test_classes_without_two_samples_are_not_revised():
    (train, labels), (x, _) = logits_of(400), logits_of(40, seed=1)
    labels[labels == 1] = 0
    keep = labels != 2
    keep[((labels == 2) & (train.logits.argmax(1) == 2)).nonzero()[0]] = True
    train, labels = train[keep], labels[keep]
    with pytest.warns(UserWarning, match='class 1, 2: it is not revised'):
        score = fit(OpenMax(K), train, labels)
    tails = tails_by_hand(train, labels, 20, 1 / 200)
    assert set(tails) == {0, 3}
    expected = openmax_by_hand(x, tails, K, 1 / 200)
    np.testing.assert_allclose(score(x), expected, rtol=0.02, atol=2e-3)


@pytest.mark.filterwarnings('ignore:.*without any sample')
def test_nothing_to_fit_on():
    train, labels = logits_of(50)
    same = Samples(torch.eye(K)[torch.zeros(9).long()])
    wrong = (train.logits.argmax(1) + 1) % K
    cases = [(train[:0], labels[:0]), (train, wrong)]
    for part, own in [*cases, (same, torch.zeros(9).long())]:
        score = OpenMax(K)
        with pytest.raises(ValueError, match='no class has two samples'):
            fit(score, part, own)
        assert not score.is_fitted


def test_one_class():
    """Of one logit the Euclidean distance alone tells anything."""
    train = Samples(torch.linspace(3, 5, 60)[:, None])
    score = fit(OpenMax(1, euclidean_weight=1.0), train)
    near, far = score(Samples(torch.tensor([[4.0], [9.0]])))
    assert near < 0.1 < 0.9 < far


@pytest.mark.parametrize(
    ('name', 'value', 'least'),
    [('tail_size', 1, 2), ('alpha', 0, 1), ('euclidean_weight', -0.1, 0)],
)
def test_bad_arguments(name, value, least):
    message = f'{name} must be at least {least}, got {value}'
    with pytest.raises(ValueError, match=message):
        OpenMax(K, **{name: value})


def test_as_many_ranks_as_classes():
    x, weibulls = torch.zeros(1, 2), torch.ones(3, 2).double()
    for alpha in (0, 3):
        with pytest.raises(ValueError, match=rf'in 1\.\.2, .* got {alpha}'):
            openmax(x, torch.eye(2).double(), weibulls, alpha)


def test_it_is_that_of_pytorch_ood():
    """Its distance is half of ours, which changes nothing; its samples are
    those of the labels, here the predicted ones."""
    Other = detector('openmax', 'OpenMax')
    (train, _), (x, _) = logits_of(400), logits_of(40, seed=1)
    other = Other(None, tailsize=20, alpha=K, euclid_weight=0.5)
    other.fit_logits(train.logits, train.logits.argmax(1))
    expected = other.predict_logits(x.logits)
    found = fit(OpenMax(K, euclidean_weight=1.0), train)(x)
    assert_near(found, expected.double(), rtol=0.02, atol=5e-3)


def test_distances_that_differ_by_rounding_are_the_same():
    """Such a class is left out; if all are, nothing can be fitted."""
    x = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).repeat(30, 1)
    x[1::2] += 0.5 * torch.rand(30, 2, generator=torch.manual_seed(0))
    with pytest.warns(UserWarning, match='class 0: it is not revised'):
        score = fit(OpenMax(2), Samples(x))
    assert score.count.tolist() == [0, 30]
    with pytest.raises(ValueError, match='classified correctly and differ'):
        fit(OpenMax(2), Samples(x[:1].repeat(9, 1)))
