"""The uncertainty loss against numpy."""

import numpy as np
import pytest
import scipy.special
import torch

from mmood.losses import UncertaintyLoss, uncertainty_loss
from mmood.registry import MODELS


def sides(known, outlier, known_factor=None, outlier_factor=None):
    """The two terms by the definition, in numpy float64."""
    lse = [
        scipy.special.logsumexp(z.detach().double().numpy(), axis=1)
        for z in (known, outlier)
    ]
    terms = np.log1p(np.exp(-lse[0])), np.log1p(np.exp(lse[1]))
    factors = known_factor or lse[0].size, outlier_factor or lse[1].size
    return [t.sum() / max(f, 1) for t, f in zip(terms, factors)]


def logits(n, shape=(), classes=4):
    return torch.randn(n, classes, *shape, requires_grad=True)


@pytest.mark.parametrize('shape', [(), (3, 2)])
def test_matches_the_definition(shape):
    known, outlier = logits(5, shape), logits(3, shape)
    loss = uncertainty_loss(known, outlier)
    assert loss.item() == pytest.approx(sum(sides(known, outlier)), rel=1e-5)


def test_gradient_closed_form():
    known, outlier = logits(5), logits(3)
    uncertainty_loss(known, outlier).backward()
    for z, sign in ((known, -1), (outlier, 1)):
        values = z.detach().double().numpy()
        lse = scipy.special.logsumexp(values, axis=1, keepdims=True)
        pull = scipy.special.expit(sign * lse) * sign / len(values)
        expected = pull * scipy.special.softmax(values, axis=1)
        np.testing.assert_allclose(z.grad.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(('n', 'm'), [(0, 3), (4, 0), (0, 0)])
def test_empty_side_adds_nothing_and_keeps_the_graph(n, m):
    known, outlier = logits(n), logits(m)
    loss = uncertainty_loss(known, outlier)
    assert loss.item() == pytest.approx(sum(sides(known, outlier)), rel=1e-5)
    loss.backward()
    for z in (known, outlier):
        assert z.grad.shape == z.shape
        assert torch.isfinite(z.grad).all()


def test_empty_side_passes_a_zero_gradient_to_what_made_it():
    layer = torch.nn.Linear(6, 4)
    uncertainty_loss(layer(torch.zeros(0, 6)), torch.randn(2, 4)).backward()
    assert layer.weight.grad.abs().sum() == 0
    assert layer.bias.grad.abs().sum() == 0


def test_saturates_at_zero_and_grows_linearly():
    far, high = torch.full((1, 1), 100.0), torch.full((1, 1), -100.0)
    assert uncertainty_loss(far, high).item() == pytest.approx(0, abs=1e-6)
    assert uncertainty_loss(high, far).item() == pytest.approx(200)


def test_half_batches_with_a_common_factor_add_up_to_the_whole():
    known, outlier = logits(8), logits(6)
    halves = sum(
        uncertainty_loss(k, o, known_factor=8, outlier_factor=6)
        for k, o in ((known[:3], outlier[:5]), (known[3:], outlier[5:]))
    )
    torch.testing.assert_close(halves, uncertainty_loss(known, outlier))


@pytest.mark.parametrize('kind', [float, torch.tensor])
def test_each_side_has_its_own_factor(kind):
    known, outlier = logits(4), logits(3)
    loss = uncertainty_loss(
        known, outlier, known_factor=kind(2.0), outlier_factor=kind(10.0)
    )
    expected = sum(sides(known, outlier, 2.0, 10.0))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_factors_below_one():
    """One sample on one of four ranks counts there for all four."""
    known, outlier = logits(1), logits(1)
    tiny = uncertainty_loss(
        known, outlier, known_factor=0.0, outlier_factor=0.25
    )
    of_known, of_outlier = sides(known, outlier)
    expected = of_known + 4 * of_outlier
    assert tiny.item() == pytest.approx(expected, rel=1e-5)


def test_module_weights_the_function():
    known, outlier = logits(4), logits(3)
    module = MODELS.build(dict(type='mmood.UncertaintyLoss', loss_weight=0.3))
    assert isinstance(module, UncertaintyLoss)
    assert UncertaintyLoss().loss_weight == 0.1
    assert module(known, outlier).item() == pytest.approx(
        0.3 * sum(sides(known, outlier)), rel=1e-5
    )
    weighted = module(known, outlier, known_factor=7.0, outlier_factor=2.5)
    expected = 0.3 * sum(sides(known, outlier, 7.0, 2.5))
    assert weighted.item() == pytest.approx(expected, rel=1e-5)
    only_known = module(known, outlier, known_factor=7.0)
    expected = 0.3 * sum(sides(known, outlier, 7.0))
    assert only_known.item() == pytest.approx(expected, rel=1e-5)
