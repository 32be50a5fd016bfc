"""VOS' weighted energy and its logistic loss against numpy and sklearn."""

import numpy as np
import pytest
import scipy.special
import torch
from sklearn.metrics import log_loss

from batches import contrast_batch
from helpers import assert_near
from mmood.losses import LogisticUncertaintyLoss, weighted_energy
from mmood.registry import MODELS
from mmood.scores import energy


def logits(n, shape=(), classes=4, **kwargs):
    return torch.randn(n, classes, *shape, requires_grad=True, **kwargs)


def loss(classes=4, **kwargs):
    """With signed class weights and a layer that is not small."""
    module = LogisticUncertaintyLoss(classes, **kwargs)
    torch.nn.init.normal_(module.class_weight)
    module.class_weight.data[0] = 0.5
    torch.nn.init.normal_(module.logistic.weight, std=2)
    return module


def call(module, known, outlier):
    found = module(contrast_batch(known, outlier))
    assert list(found) == ['loss_uncertainty']
    return found['loss_uncertainty']


def expected(module, known, outlier):
    """Mean cross entropy over both sides, by scipy and sklearn."""
    w = np.maximum(module.class_weight.detach().double().numpy(), 0)
    scores = []
    for z in (known, outlier):
        z = z.detach().double().movedim(1, -1).reshape(-1, len(w)).numpy()
        scores.append(scipy.special.logsumexp(z, axis=1, b=w))
    energies = np.concatenate(scores)[:, None]
    layer = module.logistic
    values = energies @ layer.weight.detach().double().numpy().T
    values += layer.bias.detach().double().numpy()
    target = np.repeat([1, 0], [len(part) for part in scores])
    p = scipy.special.softmax(values, axis=1)
    return log_loss(target, p, labels=[0, 1])


@pytest.mark.parametrize('shape', [(5, 4), (2, 4, 3, 2), (0, 4), (3, 1)])
def test_energy_matches_scipy(shape):
    z, w = 5 * torch.randn(shape), torch.randn(shape[1])
    w[0] = 0.3
    b = w.relu().double().numpy().reshape(-1, *[1] * (len(shape) - 2))
    reference = scipy.special.logsumexp(z.double().numpy(), axis=1, b=b)
    assert_near(weighted_energy(z, w), reference.astype('f'), atol=1e-4)


def test_with_ones_it_is_the_negative_energy():
    z = 10 * torch.randn(6, 5, 3)
    ones = torch.ones(5)
    torch.testing.assert_close(weighted_energy(z, ones), -energy(z))


def test_gradients_are_those_of_the_naive_formula():
    z, w = logits(6, dtype=torch.float64), torch.randn(4).double()
    w[0] = 0.3
    w.requires_grad_()
    naive = (w.relu() * z.exp()).sum(1).log()
    pull = torch.randn(6).double()
    found = torch.autograd.grad(weighted_energy(z, w), (z, w), pull)
    for mine, other in zip(found, torch.autograd.grad(naive, (z, w), pull)):
        torch.testing.assert_close(mine, other)
        assert mine.abs().max() > 0.01


def test_large_logits():
    z = torch.tensor([[1e4, 1e4], [-1e4, -1e4 - 1]], requires_grad=True)
    value = weighted_energy(z, torch.tensor([1.0, 1.0]))
    tail = [1e4 + np.log(2), -1e4 + np.log1p(np.exp(-1))]
    np.testing.assert_allclose(value.detach(), tail, rtol=1e-5)
    (grad,) = torch.autograd.grad(value.sum(), z)
    np.testing.assert_allclose(grad.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize('w', [[0.0, 0.0], [-1.0, -2.0]])
def test_no_class_with_weight_is_finite(w):
    z, w = logits(3, classes=2), torch.tensor(w, requires_grad=True)
    value = weighted_energy(z, w)
    floor = np.log(np.finfo(np.float32).tiny)
    np.testing.assert_allclose((value - z.amax(1)).detach(), floor, rtol=1e-5)
    for grad in torch.autograd.grad(value.sum(), (z, w)):
        assert grad.abs().max() == 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype):
    z = (300 * torch.rand(4, 3)).to(dtype)
    w = torch.rand(3)
    found = weighted_energy(z, w)
    assert found.dtype == torch.float32
    assert_near(found, weighted_energy(z.float(), w))


@pytest.mark.parametrize(
    ('shape', 'weights'), [((2, 3), (4,)), ((2, 3), (3, 1)), ((2, 0), (0,))]
)
def test_refuses_other_weights_than_one_per_class(shape, weights):
    with pytest.raises(ValueError, match='one weight per class'):
        weighted_energy(torch.zeros(shape), torch.zeros(weights))


@pytest.mark.parametrize(('n', 'm'), [(5, 3), (1, 1), (4, 0), (0, 3)])
@pytest.mark.parametrize('shape', [(), (2, 3)])
def test_matches_sklearn(n, m, shape):
    module = loss(loss_weight=0.3)
    known, outlier = logits(n, shape), logits(m, shape)
    value = call(module, known, outlier).item()
    reference = 0.3 * expected(module, known, outlier)
    assert value == pytest.approx(reference, rel=1e-5)


@pytest.mark.parametrize(('n', 'm'), [(0, 0), (0, 3), (4, 0)])
def test_empty_sides_have_gradients_for_everything(n, m):
    """DDP waits for each parameter's gradient."""
    module, layer = loss(), torch.nn.Linear(6, 4)
    known, outlier = (layer(torch.randn(k, 6)) for k in (n, m))
    value = call(module, known, outlier)
    assert torch.isfinite(value) and (value > 0) == (n + m > 0)
    value.backward()
    for parameter in [*module.parameters(), *layer.parameters()]:
        assert torch.isfinite(parameter.grad).all()
        assert bool(parameter.grad.any()) == (n + m > 0)


def test_known_and_outliers_pull_apart():
    """Steps down the loss alone make outliers' energies the lower ones."""
    module, layer = LogisticUncertaintyLoss(3, 1.0), torch.nn.Linear(2, 3)
    known, outlier = torch.randn(64, 2), torch.randn(64, 2) + 3
    parameters = [*module.parameters(), *layer.parameters()]
    for _ in range(300):
        value = call(module, layer(known), layer(outlier))
        grads = torch.autograd.grad(value, parameters)
        for parameter, grad in zip(parameters, grads):
            parameter.data -= 0.5 * grad
    assert call(module, layer(known), layer(outlier)) < 0.1
    u, v = (
        module.logistic(
            weighted_energy(layer(x), module.class_weight)[:, None]
        )
        for x in (known, outlier)
    )
    assert (u.argmax(1) == 1).float().mean() > 0.9
    assert (v.argmax(1) == 0).float().mean() > 0.9


def test_autocast_and_double_logits_change_nothing():
    module, known, outlier = loss(), logits(4), logits(2)
    plain = call(module, known, outlier)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert_near(call(module, known, outlier), plain)
    assert_near(call(module, known.double(), outlier.double()), plain)


def test_registered_with_the_paper_s_weight_and_start():
    module = MODELS.build(
        dict(type='mmood.LogisticUncertaintyLoss', num_classes=500)
    )
    assert module.loss_weight == 0.1
    w = module.class_weight
    assert w.shape == (500,) and 0 <= w.min() < 0.05 < 0.95 < w.max() < 1
    names = {name for name, _ in module.named_parameters()}
    assert names == {'class_weight', 'logistic.weight', 'logistic.bias'}
