"""The uncertainty loss against numpy."""

import numpy as np
import pytest
import scipy.special
import torch

from batches import contrast_batch
from mmood.losses import UncertaintyLoss, uncertainty_loss
from mmood.registry import MODELS


def sides(known, outlier):
    """The two terms by the definition, in numpy float64."""
    lse = [
        scipy.special.logsumexp(z.detach().double().numpy(), axis=1)
        for z in (known, outlier)
    ]
    terms = np.log1p(np.exp(-lse[0])), np.log1p(np.exp(lse[1]))
    return [t.sum() / max(t.size, 1) for t in terms]


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


def test_module_weights_the_function():
    known, outlier = logits(4), logits(3)
    module = MODELS.build(dict(type='mmood.UncertaintyLoss', loss_weight=0.3))
    assert isinstance(module, UncertaintyLoss)
    assert UncertaintyLoss().loss_weight == 0.1
    found = module(contrast_batch(known, outlier, background=logits(5)))
    assert list(found) == ['loss_uncertainty']
    assert found['loss_uncertainty'].item() == pytest.approx(
        0.3 * sum(sides(known, outlier)), rel=1e-5
    )


def test_nothing_counts_while_there_is_no_source_at_work():
    known = logits(4)
    value = UncertaintyLoss()(contrast_batch(known))['loss_uncertainty']
    (grad,) = torch.autograd.grad(value, known)
    assert value.item() == 0 and not grad.any()
