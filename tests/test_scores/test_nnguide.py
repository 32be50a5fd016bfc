"""NNGuide against plain sorting and sklearn's cosines."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.metrics.pairwise import cosine_similarity

from helpers import assert_near
from mmood.scores import NNGuide, Samples, mean_of_largest_products
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

C = 7


def confidence(x):
    if x.kind == 'sigmoid':
        return np.logaddexp(0, x.logits.double().numpy()).sum(1)
    return logsumexp(x.logits.double().numpy(), axis=1)


def expected_of(train, x, k):
    cosines = cosine_similarity(x.features, train.features)
    products = np.sort(cosines * confidence(train), axis=1)
    return -confidence(x) * products[:, -k:].mean(1)


@pytest.mark.parametrize('kind', ['softmax', 'sigmoid'])
@pytest.mark.parametrize(('k', 'step'), [(1, 1000), (10, 17), (200, 1000)])
def test_it_is_that_of_sorted_cosines(kind, k, step):
    train, x = linear_samples(200)[0], linear_samples(20, seed=1)[0]
    train.kind = x.kind = kind
    found = fit(NNGuide(C, k), train, step=step)(x)
    expected = expected_of(train, x, k)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('k', [1, 4, 11])
@pytest.mark.parametrize('chunk', [2, 5, 100])
def test_chunks_do_not_matter(k, chunk):
    x, bank = torch.randn(9, C), torch.randn(11, C)
    found = mean_of_largest_products(x, bank, k, chunk)
    expected = (x @ bank.T).sort(1).values[:, -k:].mean(1)
    assert_near(found, expected)
    assert mean_of_largest_products(x[:0], bank, k, chunk).shape == (0,)


def test_known_numbers():
    bank = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, -1.0]])
    x = torch.tensor([[2.0, 1.0], [-1.0, 0.0]])
    found = mean_of_largest_products(x, bank, 2)
    np.testing.assert_allclose(found, [2.5, 0.5])


def test_maps_are_rows():
    train, x = linear_samples(200)[0], linear_samples(40, seed=1)[0]
    score = fit(NNGuide(C), train)
    assert_near(score(as_maps(x)), score(x).view(2, 4, 5))
    again = NNGuide(C)
    again.reset()
    again.update(as_maps(train))
    again.finish()
    assert_near(again(x), score(x))


def test_the_bank_is_a_sample_of_bounded_size():
    train = linear_samples(200)[0]
    score = fit(NNGuide(C, 3, bank_size=50), train, step=17)
    everything = fit(NNGuide(C), train).bank
    assert score.bank.shape == (50, C)
    offsets = score.bank[:, None] - everything
    assert (offsets.norm(dim=2).amin(1) < 1e-4).all()
    fresh = NNGuide(C, 3)
    fresh.load_state_dict(score.state_dict())
    assert_near(fresh(train), score(train))


def test_too_few_samples_and_bad_arguments():
    train = linear_samples(9)[0]
    with pytest.raises(ValueError, match=r'k must be in 1\.\.9, .* got 10'):
        fit(NNGuide(C), train)
    with pytest.raises(ValueError, match=r'k must be in 1\.\.0'):
        fit(NNGuide(C, 1), train[:0])
    with pytest.raises(ValueError, match=r'k must be in 1\.\.5, .* got 6'):
        NNGuide(C, 6, bank_size=5)


def test_one_class_and_constant_features():
    x = Samples(torch.tensor([[2.0], [5.0]]), torch.ones(2, C))
    score = fit(NNGuide(C, 1), x)
    assert_near(score(x), torch.tensor([-10.0, -25.0]))
    zero = Samples(x.logits, torch.zeros(2, C))
    assert_near(score(zero), torch.zeros(2))


def test_it_is_that_of_pytorch_ood():
    train, labels = linear_samples(200)
    x = linear_samples(20, seed=1)[0]
    other = detector('nnguide', 'NNGuide')(None, train.classifier, k=10)
    other.fit_features(train.features, labels)
    expected = other.predict_features(x.features)
    assert_near(fit(NNGuide(C), train)(x), expected, rtol=1e-3, atol=1e-3)
