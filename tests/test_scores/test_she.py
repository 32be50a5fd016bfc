"""SimplifiedHopfieldEnergy against plain loops."""

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.scores import Samples, SimplifiedHopfieldEnergy
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

C, K = 7, 4


def fitted(samples, labels, step=1000):
    return fit(SimplifiedHopfieldEnergy(C, K), samples, labels, step)


@pytest.mark.parametrize('step', [7, 1000])
def test_it_is_the_product_with_the_mean_of_what_is_right(step):
    train, labels = linear_samples(200)
    x, _ = linear_samples(20, seed=1)
    predicted = train.logits.argmax(1)
    assert 0.3 < (predicted == labels).float().mean() < 0.95
    expected = []
    for row, logits in zip(x.features.numpy(), x.logits.numpy()):
        c = logits.argmax()
        own = train.features[(predicted == c) & (labels == c)]
        expected.append(-row @ own.double().numpy().mean(0))
    score = fitted(train, labels, step)
    np.testing.assert_allclose(score(x), expected, rtol=1e-4, atol=1e-5)
    right = labels[predicted == labels]
    assert score.count.tolist() == right.bincount(minlength=K).tolist()


def test_maps_are_rows():
    train, labels = linear_samples(200)
    x = linear_samples(40, seed=1)[0]
    score = fitted(train, labels)
    assert_near(score(as_maps(x)), score(x).view(2, 4, 5))
    again = SimplifiedHopfieldEnergy(C, K)
    again.reset()
    again.update(as_maps(train), labels.view(2, 20, 5))
    again.finish()
    assert_near(again.patterns, score.patterns)


def test_a_class_that_is_never_right_gets_the_common_pattern():
    train, labels = linear_samples(200)
    labels[labels == 2] = 1
    with pytest.warns(UserWarning, match='class 2: it gets the pattern of a'):
        score = fitted(train, labels)
    right = train.features[train.logits.argmax(1) == labels]
    assert_near(score.patterns[2], right.double().mean(0))
    assert score.count[2] == 0


@pytest.mark.filterwarnings('ignore:.*without any sample')
def test_one_sample_and_one_class():
    x, labels = linear_samples(1)
    score = fitted(x, x.logits.argmax(1))
    assert_near(score(x), -x.features.square().sum(1))
    one = SimplifiedHopfieldEnergy(C, 1)
    x = Samples(torch.randn(9, 1), torch.ones(9, C))
    assert_near(fit(one, x)(x), torch.full((9,), -float(C)))


def test_no_sample_that_is_right():
    train, labels = linear_samples(50)
    wrong = (train.logits.argmax(1) + 1) % K
    for part, own in ((train, wrong), (train[:0], labels[:0])):
        with pytest.raises(ValueError, match='no sample .* later checkpoint'):
            fitted(part, own)


def test_it_is_that_of_pytorch_ood():
    SHE = detector('she', 'SHE')
    train, labels = linear_samples(200)
    x, _ = linear_samples(20, seed=1)
    other = SHE(None, train.classifier).fit_features(train.features, labels)
    expected = other.predict_features(x.features)
    assert_near(fitted(train, labels)(x), expected)
