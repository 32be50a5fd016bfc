"""Perturbation and ODIN against closed forms and single samples."""

import numpy as np
import pytest
import scipy.special
import torch
from torch import nn

from helpers import assert_near
from mmood.registry import SCORES
from mmood.scores import Samples, msp, odin, odin_score, perturb


def network(classes=5, bias=True):
    """(N, 3, 4, 4) -> (N, classes); smooth, so that small steps tell."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=bias),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(24, classes),
    )


def dense(classes=5):
    """(N, 3, H, W) -> (N, classes, H, W), each image for itself."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, classes, 1)
    )


def maps(n=7):
    return torch.randn(n, 3, 4, 4)


def test_step_of_a_linear_score_is_the_sign_of_its_weight():
    weight = torch.tensor([2.0, -0.001, 0.0])
    x = torch.randn(4, 3)
    moved = perturb(lambda x: x @ weight, x, 0.25)
    expected = x - 0.25 * torch.tensor([1.0, -1.0, 0.0])
    assert_near(moved, expected, atol=1e-4)


def test_one_backward_pass_serves_all_samples():
    model, x, calls = network(), maps(), []

    def score(x):
        calls.append(len(x))
        return msp(model(x))

    moved = perturb(score, x, 0.01)
    assert calls == [7]
    alone = torch.cat([perturb(score, one[None], 0.01) for one in x])
    assert_near(moved, alone, atol=1e-4)
    assert (moved != x).all()


@pytest.mark.parametrize('build', [network, dense])
def test_it_lowers_the_score_of_every_sample(build):
    model, x = build().double(), maps().double()

    def score(x):
        return (
            msp(model(x)).flatten(1).sum(1)
            if build is dense
            else msp(model(x))
        )

    before, after = score(x), score(perturb(score, x, 1e-4))
    assert (after < before).all()


@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_it_runs_where_gradients_are_off(mode):
    model, x = network(), maps()
    expected = perturb(lambda x: msp(model(x)), x, 0.01)
    with mode():
        inside = x * 1  # under inference mode: a tensor without a graph
        moved = perturb(lambda x: msp(model(x)), inside, 0.01)
    assert_near(moved, expected, atol=1e-4)
    assert not expected.requires_grad and not moved.requires_grad


def test_it_leaves_parameters_and_input_alone():
    model, x = network(), maps().requires_grad_()
    kept = x.detach().clone()
    for p in model[0].parameters():
        p.requires_grad_(False)
    perturb(lambda x: msp(model(x)), x, 0.01)
    odin(model, x)
    assert all(p.grad is None for p in model.parameters())
    assert x.grad is None
    assert torch.equal(x, kept)


def never(x):
    raise AssertionError('nothing is to be computed')


@pytest.mark.parametrize(('n', 'epsilon'), [(3, 0), (3, 0.0), (0, 0.1)])
def test_nothing_to_move_needs_no_pass(n, epsilon):
    x = maps(n).requires_grad_()
    moved = perturb(never, x, epsilon)
    assert torch.equal(moved, x)
    assert not moved.requires_grad


@pytest.mark.parametrize('epsilon', [-0.1, float('nan')])
def test_perturb_refuses_an_epsilon_below_zero(epsilon):
    with pytest.raises(ValueError, match=f'epsilon .*got {epsilon}'):
        perturb(never, maps(), epsilon)


@pytest.mark.parametrize(('build', 'shape'), [(network, ()), (dense, (4, 4))])
@pytest.mark.parametrize('n', [7, 1, 0])
def test_without_both_tricks_it_is_msp(build, shape, n):
    model, x = build(), maps(n)
    scores = odin(model, x, temperature=1, epsilon=0)
    assert scores.shape == (n, *shape)
    torch.testing.assert_close(scores.float(), msp(model(x)).detach())


def test_paper_formula():
    """``x - e sign(-grad log S)``, and S of that, written out."""
    model, x = network().double(), maps().double()
    for temperature, epsilon in ((1000, 0.0014), (2.0, 0.1)):
        z = x.clone().requires_grad_()
        log_s = (model(z) / temperature).log_softmax(1).amax(1)
        (gradient,) = torch.autograd.grad(-log_s.sum(), z)
        moved = x - epsilon * gradient.sign()
        logits = model(moved).detach().numpy() / temperature
        expected = 1 - scipy.special.softmax(logits, axis=1).max(1)
        scores = odin(model, x, temperature, epsilon)
        np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-9)
        assert (scores < odin(model, x, temperature, 0)).all()


def test_images_give_the_score_of_each_pixel():
    model, x = dense(), torch.randn(2, 3, 6, 5)
    scores = odin(model, x, epsilon=0.01)
    assert scores.shape == (2, 6, 5)
    one = odin(model, x[1:], epsilon=0.01)
    torch.testing.assert_close(scores[1:], one)
    flipped = odin(lambda x: model(x).movedim(1, -1), x, epsilon=0.01, dim=-1)
    torch.testing.assert_close(scores, flipped)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_a_high_temperature_keeps_the_order_of_the_logits(dtype):
    """At T = 1000 a step of 1e-3 moves the score by about 1e-7."""
    lead = 1 + torch.arange(8) * 2**-9
    logits = torch.zeros(8, 5)
    logits[:, 0] = lead
    scores = odin(lambda x: x, logits.to(dtype), epsilon=0)
    assert scores.dtype == torch.float64
    assert (scores.diff() < 0).all()
    in_half = 1 - (logits / 1000).softmax(1).amax(1).half()
    assert len(in_half.unique()) == 1


def test_small_gradients_survive_half_precision():
    """Those of the softmax itself are 1e-8 here, 0 as half numbers."""
    x = torch.zeros(1, 300, dtype=torch.float16)
    x[0, 7] = 1
    seen = []
    odin(lambda x: seen.append(x) or x, x, epsilon=0.5)
    expected = torch.full((1, 300), -0.5)
    expected[0, 7] = 1.5
    assert_near(seen[-1].float(), expected, atol=1e-4)


@pytest.mark.parametrize('n', [4, 0])
def test_mixed_precision(n):
    model, x = network(), maps(n)
    with torch.autocast('cpu', torch.bfloat16):
        scores = odin(model, x, temperature=1, epsilon=0.05)
    assert scores.dtype == torch.float64
    expected = odin(model, x, temperature=1, epsilon=0.05)
    torch.testing.assert_close(scores, expected, atol=0.02, rtol=0)


@pytest.mark.parametrize('temperature', [0, -1.0, float('nan')])
def test_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match=f'temperature .*got {temperature}'):
        odin(never, maps(), temperature)


@pytest.mark.parametrize('epsilon', [0, 0.1])
def test_refuses_logits_without_a_class(epsilon):
    with pytest.raises(ValueError, match='no class'):
        odin(lambda x: x[:, :0], torch.zeros(2, 3), epsilon=epsilon)


@pytest.mark.parametrize('n', [6, 0])
def test_score_asks_the_view_for_logits(n):
    model, x = network(), maps(n)
    view = lambda x: Samples(model(x), x.flatten(1))  # noqa: E731
    samples = Samples(inputs=x, view=view)
    assert SCORES.get('odin') is odin_score
    assert_near(odin_score(samples, 10.0, 0.1), odin(model, x, 10.0, 0.1))
    assert_near(odin_score(samples), odin(model, x, 1000, 0.0014))
