"""Decomposed confidence against numpy, and its score."""

import copy

import numpy as np
import pytest
import scipy.special
import torch
from mmdet.registry import MODELS as DETECTION
from torch import nn

from helpers import assert_near
from mmood.scores import (
    DecomposedLinear,
    Samples,
    generalized_odin,
    perturb,
    select_epsilon,
)
from mmood.scores.generalized_odin import EPSILONS, KINDS


def layer(kind='cosine', channels=6, classes=4):
    """With parameters and statistics that are all different from 0 and 1."""
    module = DecomposedLinear(channels, classes, kind)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p))
        module.norm.running_mean.fill_(0.3)
        module.norm.running_var.fill_(1.7)
    return module


def numerators(module, x):
    """h by the definition, one number after the other, in float64."""
    x, w = x.double().numpy(), module.weight.detach().double().numpy()
    h = np.empty((len(x), len(w)))
    for i, f in enumerate(x):
        for k, v in enumerate(w):
            if module.kind == 'cosine':
                h[i, k] = f @ v / np.linalg.norm(f) / np.linalg.norm(v)
            elif module.kind == 'inner':
                h[i, k] = f @ v + module.bias[k].item()
            else:
                h[i, k] = -((f - v) ** 2).sum()
    return h


def gate(module, x, mean, variance):
    g, norm = module.gate, module.norm
    v = x.double().numpy() @ g.weight[0].detach().double().numpy()
    v = (v + g.bias.item() - mean) / np.sqrt(variance + norm.eps)
    return scipy.special.expit(v * norm.weight.item() + norm.bias.item())


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('training', [True, False])
def test_quotient(kind, training):
    module, x = layer(kind).train(training), torch.randn(5, 6)
    mean, variance = 0.3, 1.7
    if training:
        plain = module.gate(x).detach().double().numpy()
        mean, variance = plain.mean(), plain.var()
    h = numerators(module, x)
    expected = h / gate(module, x, mean, variance)[:, None]
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=2e-4)
    np.testing.assert_allclose(
        module.numerators(x).detach().numpy(), h, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize('kind', KINDS)
def test_gradient_is_the_numerical_one(kind):
    module = layer(kind).double()
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('n', [0, 1])
def test_small_batches_take_the_running_statistics(kind, training, n):
    module, x = layer(kind).train(training), torch.randn(n, 6)
    logits = module(x)
    g = gate(module, x, 0.3, 1.7)[:, None]
    np.testing.assert_allclose(
        logits.detach().numpy(), numerators(module, x) / g, rtol=2e-4
    )
    assert logits.shape == (n, 4)
    assert module.norm.running_mean.item() == pytest.approx(0.3)
    logits.sum().backward()
    for p in module.parameters():
        assert torch.isfinite(p.grad).all()
        assert n or not p.grad.any()


def test_training_updates_the_running_statistics():
    module, x = layer(), torch.randn(8, 6)
    plain = module.gate(x).detach()
    module(x)
    expected = 0.9 * 0.3 + 0.1 * plain.mean().item()
    assert module.norm.running_mean.item() == pytest.approx(expected, 1e-5)
    module.numerators(x)
    assert module.norm.num_batches_tracked == 1


def test_cosine_of_zero_is_zero():
    module = layer()
    x = torch.zeros(2, 6, requires_grad=True)
    h = module.numerators(x)
    assert not h.any()
    h.sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize('kind', KINDS)
def test_half_precision_features_do_not_overflow(kind):
    """|f|^2 is 600 000 here, over the largest half number."""
    module = layer(kind).eval()
    x = torch.full((2, 6), 316.0)
    with torch.autocast('cpu', torch.bfloat16):
        logits, h = module(x.half()), module.numerators(x.half())
    assert logits.dtype == h.dtype == torch.float32
    assert_near(logits, module(x))
    assert_near(h, module.numerators(x))


@pytest.mark.parametrize('kind', KINDS)
def test_the_initialization_of_a_box_head_does_not_spoil_it(kind):
    """mmdet draws weights with deviation 0.01: the norm's makes g flat."""
    head = DETECTION.build(
        dict(
            type='Shared2FCBBoxHead',
            in_channels=4,
            roi_feat_size=3,
            fc_out_channels=50,
            num_classes=20,
            cls_predictor_cfg=dict(type='mmood.DecomposedLinear', kind=kind),
        )
    )
    head.init_weights()
    module, x = head.fc_cls, torch.randn(200, 50)
    assert module.weight.shape == (21, 50)
    assert module.weight.std().item() == pytest.approx(np.sqrt(2 / 50), 0.1)
    assert (module.bias is None) == (kind != 'inner')
    assert kind != 'inner' or not module.bias.any()
    g = module.numerators(x) / module(x)
    assert 0.4 < g.mean() < 0.6 and g.std() > 0.1
    scores, _ = head(torch.randn(3, 4, 3, 3))
    assert scores.shape == (3, 21)


def test_unknown_kind():
    with pytest.raises(ValueError, match=r"'dot'.*'cosine', 'inner'"):
        DecomposedLinear(3, 2, kind='dot')


def view_of(module, body=None):
    """A view like a box head's: 4 classes, the last is the background."""
    body = nn.Flatten() if body is None else body

    def view(x):
        features = body(x)
        h = module.numerators(features)
        return Samples(module(features)[:, :-1], features, h[:, :-1])

    return view


def score(x, view, *args, **kwargs):
    samples = Samples(inputs=x, view=view)
    return generalized_odin(samples, *args, **kwargs)


def maps(n=5):
    return torch.randn(n, 6, 1, 1)


@pytest.mark.parametrize('kind', KINDS)
def test_score_of_the_unmoved_input(kind):
    module, x = layer(kind).eval(), maps()
    scores = score(x, view_of(module), 0)
    expected = -numerators(module, x.flatten(1))[:, :-1].max(1)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-4, atol=1e-6)
    assert not scores.requires_grad


@pytest.mark.parametrize('kind', KINDS)
def test_score_of_the_moved_input(kind):
    module, x = layer(kind).eval(), maps()
    view = view_of(module)
    moved = perturb(lambda x: -view(x).numerators.amax(1), x, 0.01)
    expected = -numerators(module, moved.flatten(1))[:, :-1].max(1)
    scores = score(x, view, 0.01)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-4, atol=1e-6)
    assert (scores < score(x, view, 0)).all()
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize('kind', KINDS)
def test_softmax_of_the_moved_numerators(kind):
    """OpenOOD's way: the same step, then softmax instead of the maximum."""
    module, x = layer(kind).eval(), maps()
    view = view_of(module)
    moved = perturb(lambda x: -view(x).numerators.amax(1), x, 0.01)
    h = numerators(module, moved.flatten(1))[:, :-1]
    expected = 1 - scipy.special.softmax(h, axis=1).max(1)
    found = score(x, view, 0.01, confidence='softmax')
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_unknown_confidence():
    with pytest.raises(ValueError, match="'maximum', 'softmax'.*'g'"):
        score(maps(), view_of(layer()), confidence='g')


def test_inner_product_moves_by_the_weights_absolute_sum():
    """Closed form: the largest h grows by epsilon times |w|_1."""
    module, x = layer('inner').eval(), maps()
    view, x = view_of(module), x.mul(10)
    best = numerators(module, x.flatten(1))[:, :-1].argmax(1)
    step = score(x, view, 0) - score(x, view, 0.02)
    expected = 0.02 * module.weight.detach().abs().sum(1)[best]
    torch.testing.assert_close(step, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_no_samples_and_no_gradients(mode):
    module = layer().eval()
    x = maps()
    assert EPSILONS[0] == 0.0025
    assert_near(score(x, view_of(module)), score(x, view_of(module), 0.0025))
    expected = score(x, view_of(module))
    with mode():
        assert score(maps(0), view_of(module)).shape == (0,)
        assert_near(score(x, view_of(module)), expected)


@pytest.mark.parametrize('n', [0, 3])
def test_a_plain_classifier_has_no_numerators(n):
    linear = nn.Linear(6, 4)
    view = lambda x: Samples(linear(x.flatten(1)), x)  # noqa: E731
    with pytest.raises(ValueError, match=r"type='mmood.DecomposedLinear'"):
        score(maps(n), view)


def test_checkpoint_round_trip():
    module, other, x = layer(), layer(), torch.randn(3, 6)
    module(torch.randn(9, 6))
    other.load_state_dict(copy.deepcopy(module.state_dict()))
    assert 'weight' in module.state_dict()
    assert_near(module.eval()(x), other.eval()(x))


def test_epsilon_of_the_largest_numerators():
    """h falls again beyond a step: the peak of ``-(x - 0.02)^2``."""
    module = DecomposedLinear(6, 2, 'euclidean').eval()
    module.weight.data.fill_(0.02)
    zeros = torch.zeros(3, 6, 1, 1)
    batches = [zeros, zeros[:0], zeros[:1]]
    assert select_epsilon(view_of(module), iter(batches)) == 0.02
    assert select_epsilon(view_of(module), batches, [0.08, 0.01]) == 0.01
    module = layer('inner').eval()
    assert select_epsilon(view_of(module), [maps()]) == max(EPSILONS)


@pytest.mark.parametrize('batches', [[], [maps(0)]])
def test_epsilon_needs_samples(batches):
    with pytest.raises(ValueError, match='no sample'):
        select_epsilon(view_of(layer().eval()), batches)
