"""The network that predicts the detail of a step."""

import pytest
import torch
from torch import nn

from helpers import assert_near
from mmood.diffusion import BlurDiffusion, ConvUNet

SIZES = [(1, 1), (1, 5), (7, 3), (16, 16)]


def awake(net):
    """The network with a last layer that is not zero any more."""
    nn.init.normal_(net.decoder[-1].weight)
    return net


@pytest.mark.parametrize('size', SIZES)
def test_predicts_zeros_of_the_same_size_before_training(size):
    x = torch.randn(2, 3, *size)
    for t in (1, 2, 3):
        assert torch.equal(ConvUNet(3, 3)(x, t), torch.zeros_like(x))


@pytest.mark.parametrize('size', SIZES)
def test_same_size_and_something_else_once_awake(size):
    net = awake(ConvUNet(3, 2))
    x = torch.randn(2, 3, *size)
    out = net(x, 1)
    assert out.shape == x.shape
    assert out.std() > 1e-3


def test_depends_on_the_step():
    net = awake(ConvUNet(3, 2))
    x = torch.randn(1, 3, 4, 4)
    assert (net(x, 1) - net(x, 2)).abs().max() > 1e-3
    with torch.no_grad():
        net.time.weight[1] = net.time.weight[0]
    assert_near(net(x, 1), net(x, 2))


def test_samples_of_a_batch_do_not_mix():
    net = awake(ConvUNet(3, 2))
    x = torch.randn(3, 3, 6, 5)
    torch.testing.assert_close(net(x, 1)[1:2], net(x[1:2], 1))


@pytest.mark.parametrize('size', SIZES)
def test_skips_carry_what_the_lower_levels_lose(size):
    net, silu = awake(ConvUNet(3, 1)), nn.functional.silu
    for layer in (net.encoder[2], *net.decoder[:2]):
        nn.init.zeros_(layer.bias)
        nn.init.dirac_(layer.weight)
    nn.init.zeros_(net.encoder[2].weight)  # nothing from the lowest level
    x = torch.randn(2, 3, *size)
    full = silu(net.encoder[0](x) + net.time.weight[0][:, None, None])
    half = silu(silu(net.encoder[1](full)))
    for dim, n in zip((2, 3), size):  # nearest: pixel i is from i h // n
        taken = torch.arange(n) * half.shape[dim] // n
        half = half.index_select(dim, taken)
    torch.testing.assert_close(net(x, 1), net.decoder[2](silu(full + half)))


@pytest.mark.parametrize('size', SIZES)
def test_gradient_reaches_every_parameter_and_the_input(size):
    net = awake(ConvUNet(4, 2))
    x = torch.randn(1, 4, *size, requires_grad=True)
    (net(x, 1).square().sum() + net(x, 2).square().sum()).backward()
    for name, parameter in net.named_parameters():
        grad = parameter.grad
        assert torch.isfinite(grad).all() and grad.abs().sum() > 0, name
    assert (net.time.weight.grad.abs().sum(1) > 0).all()
    assert x.grad.abs().sum() > 0


def test_empty_batch_has_a_zero_gradient():
    net = awake(ConvUNet(3, 1))
    net(torch.zeros(0, 3, 8, 8), 1).sum().backward()
    assert all(p.grad.abs().sum() == 0 for p in net.parameters())


@pytest.mark.parametrize(
    ('channels', 'width', 'expected'),
    [(256, None, 32), (64, None, 16), (4, 5, 5)],
)
def test_width_is_an_eighth_of_the_channels_but_not_tiny(
    channels, width, expected
):
    net = ConvUNet(channels, 2, width)
    assert net.time.weight.shape == (2, expected)
    assert net.encoder[0].weight.shape == (expected, channels, 1, 1)


@pytest.mark.parametrize('shape', [(1, 2, 4, 4), (3, 4, 4)])
def test_refuses_other_maps(shape):
    with pytest.raises(ValueError, match=rf'\(B, 3, H, W\).*{shape[0]}'):
        ConvUNet(3, 2)(torch.zeros(shape), 1)


@pytest.mark.parametrize('t', [0, 3, -1])
def test_refuses_other_steps(t):
    with pytest.raises(ValueError, match=rf't must be in 1\.\.2, got {t}'):
        ConvUNet(3, 2)(torch.zeros(1, 3, 2, 2), t)


@pytest.fixture
def one_thread():
    """Several cost more than they bring on tiny maps and busy cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_learns_to_deblur_a_map(one_thread):
    torch.manual_seed(0)
    process, net = BlurDiffusion(2, 0.6, 0.8), ConvUNet(4, 2)
    sharp, step, blurred = process.forward_process(torch.randn(1, 4, 6, 6))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(50):
        loss = (net(blurred, 2) - (step - blurred)).square().mean()
        loss = loss + (net(step, 1) - (sharp - step)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        estimate = blurred + net(blurred, 2)
        estimate = estimate + net(estimate, 1)
    before = (blurred - sharp).square().mean()
    after = (estimate - sharp).square().mean()
    assert after < before / 2
