"""The convolutional denoiser, next to the MLP with the same weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmood.diffusion import DenoisingMLP, DenoisingUNet
from mmood.registry import MODELS

SIZES = [(1, 1), (1, 6), (5, 3), (8, 8)]
OPTIONS = dict(num_blocks=3, num_middle_blocks=1, num_steps=20)


def small(kind='scalar', channels=8, **options):
    net = DenoisingUNet(
        channels, time_embedding=kind, **{**OPTIONS, **options}
    )
    for parameter in net.parameters():
        if parameter.abs().sum() == 0:
            nn.init.normal_(parameter, std=0.2)
    return net


@pytest.mark.parametrize('size', SIZES)
def test_predicts_no_noise_of_the_same_size_before_training(size):
    x = torch.randn(2, 8, *size)
    assert torch.equal(DenoisingUNet(8)(x, 3), torch.zeros_like(x))
    out = small()(x, 3)
    assert out.shape == x.shape
    assert out.std() > 0.05


@pytest.mark.parametrize('kind', ['scalar', 'periodic'])
def test_a_time_for_each_map_is_that_time_for_all(kind):
    net, x = small(kind), torch.randn(3, 8, 5, 4)
    times = torch.tensor([0, 19, 7])
    expected = torch.cat([net(m[None], int(t)) for m, t in zip(x, times)])
    torch.testing.assert_close(net(x, times), expected, atol=1e-5, rtol=1e-5)
    assert (net(x, 0) - net(x, 19)).abs().max() > 0.01


@pytest.mark.parametrize('kind', ['scalar', 'periodic'])
def test_one_pixel_is_the_mlp_of_the_centre_weights(kind):
    """At 1 x 1 nothing is pooled and padding meets all weights but one."""
    net = small(kind)
    mlp = DenoisingMLP(8, time_embedding=kind, **OPTIONS)
    centres = {}
    for name, value in net.state_dict().items():
        middle = value.shape[-1] // 2  # 1 of 3 x 3, 0 of the skips' 1 x 1
        is_kernel = value.dim() == 4
        centres[name] = value[..., middle, middle] if is_kernel else value
    mlp.load_state_dict(centres)
    x = torch.randn(6, 8)
    expected = mlp(x, 4)[..., None, None]
    out = net(x[..., None, None], 4)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_a_pixel_sees_far_around_it():
    net = small()
    x = torch.randn(1, 8, 16, 16, requires_grad=True)
    net(x, 3)[0, :, 8, 8].sum().backward()
    assert (x.grad[0].abs().sum(0) > 0).all()
    with torch.no_grad():
        far = x.clone()
        far[..., 0, 0] += 1
        assert (net(far, 3) - net(x, 3))[0, :, 8, 8].abs().max() > 1e-6


def test_the_map_is_halved_twice_and_restored():
    net, sizes = small(num_blocks=6), []
    for block in (*net.input_blocks, *net.middle_blocks, *net.output_blocks):
        block.register_forward_hook(
            lambda module, inputs, out: sizes.append(tuple(out.shape[-2:]))
        )
    net(torch.randn(1, 8, 7, 4), 0)
    down = [(7, 4)] * 2 + [(4, 2)] * 2 + [(2, 1)] * 2
    assert sizes == [*down, (2, 1), *down[::-1]]


def test_pooling_averages_and_growing_repeats():
    net = small()
    x = torch.arange(10.0).reshape(1, 1, 2, 5)
    halved = net._shrink(x, 1)
    # The last column has no right neighbour.
    assert halved.tolist() == [[[[3.0, 5.0, 6.5]]]]
    assert net._shrink(x, 0) is x
    grown = net._grow(halved, x)
    assert torch.equal(grown, F.interpolate(halved, size=(2, 5)))
    # Nearest: pixel i is from 3 i // 5.
    row = [3.0, 3.0, 5.0, 5.0, 6.5]
    assert grown.tolist() == [[[row, row]]]


def test_samples_of_a_batch_do_not_mix():
    net, x = small(), torch.randn(3, 8, 6, 5)
    torch.testing.assert_close(
        net(x, 1)[1:2], net(x[1:2], 1), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize('size', SIZES)
def test_gradient_reaches_every_parameter_and_the_input(size):
    net = small('periodic')
    x = torch.randn(2, 8, *size, requires_grad=True)
    net(x, torch.tensor([2, 11])).square().sum().backward()
    for name, parameter in net.named_parameters():
        grad = parameter.grad
        assert torch.isfinite(grad).all() and grad.abs().sum() > 0, name
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all()


def test_empty_batch_has_a_zero_gradient():
    net, x = small(), torch.zeros(0, 8, 4, 4, requires_grad=True)
    out = net(x, 1)
    assert out.shape == x.shape
    out.sum().backward()
    assert x.grad.shape == x.shape
    assert all(p.grad.abs().sum() == 0 for p in net.parameters())


def test_is_registered_under_the_arguments_of_the_mlp():
    options = dict(channels=16, num_blocks=3, num_middle_blocks=0)
    unet, mlp = (
        MODELS.build(dict(type=f'mmood.{name}', **options))
        for name in ('DenoisingUNet', 'DenoisingMLP')
    )
    assert isinstance(unet, DenoisingUNet)
    assert [n for n, _ in unet.named_parameters()] == [
        n for n, _ in mlp.named_parameters()
    ]


def test_refuses_too_few_blocks_for_its_levels():
    with pytest.raises(ValueError, match='num_blocks .*at least 3.*got 2'):
        DenoisingUNet(8, num_blocks=2)


@pytest.mark.parametrize('shape', [(8, 4, 4), (2, 8)])
def test_refuses_what_is_not_a_map(shape):
    with pytest.raises(ValueError, match=r'DenoisingUNet .*\(B, C, H, W\)'):
        small()(torch.zeros(shape), 0)


def test_refuses_maps_of_another_width():
    pattern = 'DenoisingUNet .*channels=8 .*width 4'
    with pytest.raises(ValueError, match=pattern):
        small()(torch.zeros(1, 4, 2, 2), 0)
