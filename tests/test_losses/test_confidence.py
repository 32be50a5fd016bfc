"""The confidence loss against scipy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from batches import contrast_batch
from mmood.losses import ConfidenceLoss, confidence_loss
from mmood.registry import MODELS


def logits(n, shape=(), classes=4):
    return (3 * torch.randn(n, classes, *shape)).requires_grad_()


def divergences(z):
    """``KL[U || softmax]`` of each sample, in numpy float64."""
    p = scipy.special.softmax(z.detach().double().numpy(), axis=1)
    return scipy.stats.entropy(np.full_like(p, 1 / p.shape[1]), p, axis=1)


@pytest.mark.parametrize('shape', [(), (3, 2)])
def test_matches_scipy(shape):
    z = logits(5, shape)
    expected = divergences(z).mean()
    assert expected > 0.5
    assert confidence_loss(z).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_closed_form():
    """``d KL / d v = softmax(v) - 1 / K``."""
    z = logits(5)
    confidence_loss(z).backward()
    p = scipy.special.softmax(z.detach().double().numpy(), axis=1)
    np.testing.assert_allclose(z.grad.numpy(), (p - 1 / 4) / 5, atol=1e-6)


def test_known_number():
    """p = (0.9, 0.1): -log 2 - (log 0.9 + log 0.1) / 2 = log(5 / 3)."""
    z = torch.tensor([[0.9, 0.1]]).log() + 7
    assert confidence_loss(z).item() == pytest.approx(np.log(5 / 3), rel=1e-5)


def test_equal_logits_cost_nothing():
    z = torch.full((3, 6), 5.0)
    assert confidence_loss(z).item() == pytest.approx(0, abs=1e-6)


def test_one_class_costs_nothing():
    z = logits(4, classes=1)
    loss = confidence_loss(z)
    loss.backward()
    assert loss.item() == 0
    assert z.grad.abs().sum() == 0


def call(module, known, outlier):
    return module(contrast_batch(known, outlier))['loss_uncertainty']


@pytest.mark.parametrize('active', [True, False])
def test_no_outliers_are_zero_and_keep_the_graph(active):
    layer = torch.nn.Linear(6, 4)
    none = layer(torch.zeros(0, 6)) if active else None
    loss = call(ConfidenceLoss(), layer(torch.randn(2, 6)), none)
    loss.backward()
    assert loss.item() == 0
    assert layer.weight.grad.abs().sum() == 0
    assert layer.bias.grad.abs().sum() == 0


@pytest.mark.parametrize('n', [0, 3])
@pytest.mark.parametrize('fill', [1.0, float('inf')])
def test_known_logits_count_for_nothing(n, fill):
    outlier = logits(5)
    loss = call(ConfidenceLoss(), torch.full((n, 4), fill), outlier)
    assert loss.item() == pytest.approx(divergences(outlier).mean(), rel=1e-5)


def test_refuses_logits_without_classes():
    with pytest.raises(ValueError, match=r'\(3, 0\) have no class'):
        confidence_loss(torch.zeros(3, 0))


def test_module_weights_the_function():
    known, outlier = logits(4), logits(3)
    module = MODELS.build(dict(type='mmood.ConfidenceLoss', loss_weight=0.3))
    assert isinstance(module, ConfidenceLoss)
    assert ConfidenceLoss().loss_weight == 1.0
    total = divergences(outlier).sum()
    loss = call(module, known, outlier)
    assert loss.item() == pytest.approx(0.3 * total / 3, rel=1e-5)
