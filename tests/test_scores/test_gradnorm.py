"""GradNorm against autograd. Shapes: N samples, C channels, K classes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import assert_near
from mmood.registry import SCORES
from mmood.scores import LinearClassifier, Samples, ScoreSet, gradnorm
from mmood.scores.classifier import linear_of
from pytorch_ood_helpers import detector

C, K = 6, 4


def by_autograd(features, weight, bias, temperature):
    """The norm of the gradient of KL(u || p), a sample at a time."""
    found = []
    for x in features:
        w = weight.clone().requires_grad_()
        log_p = F.log_softmax((w @ x + bias) / temperature, 0)
        uniform = torch.full_like(log_p, 1 / len(log_p))
        loss = F.kl_div(log_p, uniform, reduction='sum')
        (gradient,) = torch.autograd.grad(loss, w)
        found.append(-gradient.abs().sum())
    return torch.stack(found)


@pytest.mark.parametrize('temperature', [0.5, 1.0, 3.0])
@pytest.mark.parametrize('classes', [1, 2, K])
def test_it_is_the_norm_of_the_gradient(classes, temperature):
    weight, bias = torch.randn(classes, C), torch.randn(classes)
    x = torch.randn(7, C)
    logits = x @ weight.T + bias
    found = gradnorm(x, logits, temperature)
    assert_near(found, by_autograd(x, weight, bias, temperature))


def test_maps_are_rows():
    x, z = torch.randn(20, C), torch.randn(20, K)
    maps = (part.view(2, 5, 2, -1).permute(0, 3, 1, 2) for part in (x, z))
    assert_near(gradnorm(*maps), gradnorm(x, z).view(2, 5, 2))


def test_equal_classes_and_no_features_score_highest():
    x, z = torch.rand(3, C), torch.zeros(3, K)
    z[1:, 0] = 5
    x[2] = 0
    flat, sure, empty = gradnorm(x, z).tolist()
    assert flat == empty == 0
    assert sure == pytest.approx(-1.4606 * float(x[1].sum()), rel=1e-3)


def test_the_registered_score_is_the_function():
    x, z = torch.randn(5, C), torch.randn(5, K)
    samples = Samples(z, x)
    assert_near(SCORES.get('gradnorm')(samples, 2.0), gradnorm(x, z, 2.0))
    assert 'classifier' in SCORES.get('gradnorm').reads


@pytest.mark.parametrize('temperature', [0, -1.0, float('nan')])
def test_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match=f'positive, got {temperature}'):
        gradnorm(torch.zeros(1, C), torch.zeros(1, K), temperature)


def test_one_class_says_nothing():
    with pytest.raises(ValueError, match='gradnorm.*softmax over one class'):
        ScoreSet(
            ['gradnorm'],
            num_classes=1,
            channels=C,
            missing=dict(classifier=''),
        )


def test_pytorch_ood():
    layer, x = nn.Linear(C, K), torch.randn(9, C)
    classify = linear_of(layer)
    assert isinstance(classify, LinearClassifier)
    other = detector('gradnorm', 'GradNorm')
    expected = other(layer, lambda name: name == 'weight').predict(x)
    assert_near(gradnorm(x, classify(x)), expected)
