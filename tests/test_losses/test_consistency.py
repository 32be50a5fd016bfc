"""The consistency loss against scipy and torch.distributions."""

import numpy as np
import pytest
import scipy.special
import torch
from torch.distributions import Categorical, kl_divergence

from batches import classify, known_batch
from mmood.losses import ConsistencyLoss, kl_consistency
from mmood.registry import MODELS
from mmood.scores import Samples


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
def test_no_samples_are_zero_with_a_gradient(shape):
    a, b = pair(*shape)
    loss = kl_consistency(a, b)
    assert loss.item() == 0
    loss.backward()
    assert a.grad.shape == b.grad.shape == shape


def test_one_class_agrees_always():
    a, b = pair(4, 1)
    assert kl_consistency(a, b).item() == 0


def test_refuses_predictions_of_two_shapes():
    with pytest.raises(ValueError, match=r'\(4, 3\) and \(4, 1\)'):
        kl_consistency(torch.zeros(4, 3), torch.zeros(4, 1))


def test_module_takes_all_columns_of_the_known_rows_on_deblurred_maps():
    features, deblurred = pair(4, 6)
    module = MODELS.build(dict(type='mmood.ConsistencyLoss', loss_weight=0.2))
    assert isinstance(module, ConsistencyLoss)
    assert ConsistencyLoss().loss_weight == 0.001

    def look(name):
        assert name == 'deblurred'
        return Samples(features=deblurred)

    rows = torch.cat([features, torch.randn(3, 6)])
    batch = known_batch(rows, [0, 2, 1, 1, -1, -2, -3], look=look)
    (name, value), *rest = module(batch).items()
    assert name == 'loss_consistency' and not rest
    total = scipy_kl(classify(features), classify(deblurred)).sum()
    assert value.item() == pytest.approx(0.2 * total / 4, 1e-5)
    assert all(
        g.any() for g in torch.autograd.grad(value, [features, deblurred])
    )
