"""FDBD against distances to the boundaries, found one by one."""

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.scores import FDBD, LinearClassifier, Samples, fdbd
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

C, K = 7, 4


def expected_of(train, x):
    """Lengths of the steps to where two logits are equal."""
    weight = x.classifier.weight.double().numpy()
    mean = train.features.double().numpy().mean(0)
    rows = zip(x.features.double().numpy(), x.logits.double().numpy())
    found = []
    for f, z in rows:
        y, distances = z.argmax(), []
        for c in set(range(len(z))) - {y}:
            normal = weight[y] - weight[c]
            step = (z[y] - z[c]) / (normal @ normal) * normal
            after = weight @ (f - step) + x.classifier.bias.double().numpy()
            assert after[y] == pytest.approx(after[c], abs=1e-4)
            distances.append(np.linalg.norm(step))
        found.append(-np.mean(distances) / np.linalg.norm(f - mean))
    return found


@pytest.mark.parametrize('step', [7, 1000])
def test_it_is_the_length_of_the_steps(step):
    train, x = linear_samples(200)[0], linear_samples(20, seed=1)[0]
    score = fit(FDBD(C, K), train, step=step)
    np.testing.assert_allclose(score(x), expected_of(train, x), rtol=1e-4)
    assert_near(score.mean, train.features.double().mean(0))


def test_known_numbers():
    """Boundaries at distances 3 and 4, 2 from the mean."""
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 2.0]])
    logits = torch.tensor([[5.0, 2.0, -3.0]])
    x, mean = torch.tensor([[1.0, 3.0]]), torch.tensor([1.0, 1.0])
    found = fdbd(logits, x, weight, mean)
    assert found.item() == pytest.approx(-(3 + 4) / 2 / 2)


def test_maps_are_rows():
    train, x = linear_samples(200)[0], linear_samples(40, seed=1)[0]
    score = fit(FDBD(C, K), train)
    assert_near(score(as_maps(x)), score(x).view(2, 4, 5))
    again = FDBD(C, K)
    again.reset()
    again.update(as_maps(train))
    again.finish()
    assert_near(again.mean, score.mean)


def test_classes_with_the_same_weights_have_no_boundary():
    weight = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    logits = torch.tensor([[3.0, 1.0, 2.0]])
    found = fdbd(logits, torch.tensor([[0.0, 2.0]]), weight, torch.zeros(2))
    assert found.item() == pytest.approx(-1 / 2**0.5 / 2 / 2)


def test_the_mean_itself_is_surely_known():
    train = linear_samples(50)[0]
    same = Samples(train.logits[:1], train.features[:1])
    same.classifier = train.classifier
    score = fit(FDBD(C, K), same)
    found = score(same)
    assert torch.isfinite(found).all() and found < -1e6


def test_one_class_no_sample_and_another_width():
    with pytest.raises(ValueError, match='num_classes=1: take'):
        FDBD(C, 1)
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match='there is one: take'):
        fdbd(one, one, one, one[0])
    train = linear_samples(9)[0]
    with pytest.raises(ValueError, match='no sample to fit FDBD on'):
        fit(FDBD(C, K), train[:0])
    score = fit(FDBD(C, K), train)
    train.classifier = LinearClassifier(torch.ones(K, 3), torch.ones(K))
    with pytest.raises(ValueError, match=r'\(N, 7, \*\), got \(4, 3\)'):
        score(train)


def test_it_is_that_of_pytorch_ood():
    train, x = linear_samples(200)[0], linear_samples(20, seed=1)[0]
    layer = torch.nn.Linear(C, K)
    layer.weight.data, layer.bias.data = (
        train.classifier.weight,
        train.classifier.bias,
    )
    other = detector('fdbd', 'fDBD')(None, layer)
    other.fit_features(train.features)
    expected = other.predict_features(x.features).detach()
    found = fit(FDBD(C, K), train)(x)
    correlation = np.corrcoef(found, expected)[0, 1]
    assert correlation == pytest.approx(1, abs=1e-5)
    factor = (expected / found).median()
    assert_near(found * factor, expected, rtol=1e-3)
