"""The consistency loss against scipy and torch.distributions."""

import numpy as np
import pytest
import scipy.special
import torch
from torch.distributions import Categorical, kl_divergence

from mmood.losses import ConsistencyLoss, kl_consistency
from mmood.registry import MODELS


def pair(*shape):
    return [torch.randn(shape, requires_grad=True) for _ in range(2)]


def scipy_kl(a, b):
    """KL per sample, in float64."""
    p, q = (
        scipy.special.softmax(z.detach().double().numpy(), axis=1)
        for z in (a, b)
    )
    return scipy.special.rel_entr(p, q).sum(1)


@pytest.mark.parametrize('shape', [(6, 5), (2, 5, 3, 4), (1, 2)])
def test_matches_scipy(shape):
    a, b = pair(*shape)
    expected = scipy_kl(a, b).mean()
    assert kl_consistency(a, b).item() == pytest.approx(expected, rel=1e-5)


def test_direction_and_mean_match_torch_distributions():
    a, b = pair(6, 5)
    expected = kl_divergence(Categorical(logits=a), Categorical(logits=b))
    torch.testing.assert_close(kl_consistency(a, b), expected.mean())
    assert abs(kl_consistency(b, a) - expected.mean()) > 1e-2


def test_gradients_match_torch_distributions_on_both_sides():
    a, b = pair(6, 5)
    grads = torch.autograd.grad(kl_consistency(a, b), (a, b))
    reference = kl_divergence(Categorical(logits=a), Categorical(logits=b))
    for got, expected in zip(
        grads, torch.autograd.grad(reference.mean(), (a, b))
    ):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-4)
        assert got.abs().max() > 1e-3


def test_equal_predictions_cost_nothing():
    a, _ = pair(4, 3)
    shifted = a.detach() + 7.0
    assert kl_consistency(a, shifted).item() == pytest.approx(0, abs=1e-6)
    (grad,) = torch.autograd.grad(kl_consistency(a, shifted), a)
    np.testing.assert_allclose(grad.numpy(), 0, atol=1e-6)


@pytest.mark.parametrize('shape', [(0, 5), (0, 5, 2, 2), (3, 5, 0)])
@pytest.mark.parametrize('factor', [None, 4.0])
def test_no_samples_are_zero_with_a_gradient(shape, factor):
    a, b = pair(*shape)
    loss = kl_consistency(a, b, factor)
    assert loss.item() == 0
    loss.backward()
    assert a.grad.shape == b.grad.shape == shape


def test_one_class_agrees_always():
    a, b = pair(4, 1)
    assert kl_consistency(a, b).item() == 0


def test_half_batches_with_a_common_factor_add_up_to_the_whole():
    a, b = pair(9, 5)
    parts = kl_consistency(a[:2], b[:2], 9) + kl_consistency(a[2:], b[2:], 9)
    torch.testing.assert_close(parts, kl_consistency(a, b))


def test_factor_divides_the_sum():
    a, b = pair(4, 3)
    total = scipy_kl(a, b).sum()
    assert kl_consistency(a, b, 10).item() == pytest.approx(total / 10, 1e-5)
    # One sample on one of four ranks.
    assert kl_consistency(a, b, 0.25).item() == pytest.approx(4 * total, 1e-5)
    assert kl_consistency(a, b, 0.0).item() == pytest.approx(total, 1e-5)


def test_refuses_predictions_of_two_shapes():
    with pytest.raises(ValueError, match=r'\(4, 3\) and \(4, 1\)'):
        kl_consistency(torch.zeros(4, 3), torch.zeros(4, 1))


def test_module_weights_the_function():
    a, b = pair(4, 3)
    module = MODELS.build(dict(type='mmood.ConsistencyLoss', loss_weight=0.2))
    assert isinstance(module, ConsistencyLoss)
    assert ConsistencyLoss().loss_weight == 0.001
    total = scipy_kl(a, b).sum()
    assert module(a, b).item() == pytest.approx(0.2 * total / 4, 1e-5)
    assert module(a, b, 8).item() == pytest.approx(0.2 * total / 8, 1e-5)
