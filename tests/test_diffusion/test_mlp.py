"""DOoD's denoiser of single features."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmood.diffusion import DenoisingMLP, DenoisingUNet
from mmood.diffusion.mlp import GroupNorm, ResidualBlock, group_norm, sinusoid

KINDS = ['scalar', 'periodic']


def awake(net):
    """The network with layers that are not zero any more."""
    for parameter in net.parameters():
        if parameter.abs().sum() == 0:
            nn.init.normal_(parameter, std=0.3)
    return net


def small(kind='scalar', channels=16, **options):
    options = dict(num_blocks=2, num_middle_blocks=1, num_steps=50) | options
    return awake(DenoisingMLP(channels, time_embedding=kind, **options))


@pytest.mark.parametrize('kind', KINDS)
def test_predicts_no_noise_before_training(kind):
    net = DenoisingMLP(32, time_embedding=kind)
    x = torch.randn(5, 32)
    assert torch.equal(net(x, 7), torch.zeros_like(x))
    assert small(kind, 32)(x, 7).std() > 0.1


@pytest.mark.parametrize('kind', KINDS)
def test_a_time_for_each_feature_is_that_time_for_all(kind):
    net, x = small(kind), torch.randn(6, 16)
    times = torch.tensor([0, 3, 3, 49, 0, 20])
    expected = torch.stack(
        [net(row[None], int(t))[0] for row, t in zip(x, times)]
    )
    torch.testing.assert_close(net(x, times), expected, atol=1e-5, rtol=1e-5)
    assert (net(x, 0) - net(x, 49)).abs().max() > 0.01


@pytest.mark.parametrize('kind', KINDS)
def test_a_feature_does_not_see_the_others(kind):
    net, x = small(kind), torch.randn(4, 16)
    other = x.clone()
    other[1:] = torch.randn(3, 16)
    torch.testing.assert_close(net(other, 5)[0], net(x, 5)[0])
    alone = net(x[:1], 5)[0]
    torch.testing.assert_close(alone, net(x, 5)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_each_part_matters_and_gets_a_gradient(kind):
    net = small(kind)
    x = torch.randn(3, 16, requires_grad=True)
    net(x, torch.tensor([1, 10, 40])).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name
    assert (x.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize('t', [3, torch.zeros(0, dtype=torch.long)])
@pytest.mark.parametrize('kind', KINDS)
def test_no_features_pass_a_zero_gradient(kind, t):
    net = small(kind)
    x = torch.zeros(0, 16, requires_grad=True)
    out = net(x, t)
    assert out.shape == (0, 16)
    out.sum().backward()
    assert x.grad.shape == (0, 16)
    assert all(p.grad.abs().sum() == 0 for p in net.parameters())


def test_output_blocks_get_the_features_before_the_mirrored_skip():
    """Two pass-through levels: each skip is multiplied by its own weight."""
    net = small(channels=8, num_middle_blocks=0)
    for block in (*net.input_blocks, *net.output_blocks):
        nn.init.zeros_(block.linear2.weight)
        nn.init.zeros_(block.linear2.bias)
    eye = torch.eye(8)
    with torch.no_grad():
        for block, share in zip(net.output_blocks, (0.5, 0.25)):
            block.skip.weight.copy_(torch.cat((eye, share * eye), 1))
            block.skip.bias.zero_()
        net.input_blocks[1].linear2.bias.fill_(1.0)
    net.head = nn.Identity()
    x = torch.randn(3, 8)
    # In: x, then x + 1. Out: (x + 1) 1.5, then that + 0.25 x.
    torch.testing.assert_close(net(x, 0), 1.5 * (x + 1) + 0.25 * x)


def test_block_adds_what_it_computes_to_its_skip():
    block = ResidualBlock(
        8,
        8,
        layer=nn.Linear,
        projection=nn.Linear,
        project_time=False,
        groups=1,
    )
    x, time = torch.randn(4, 8), torch.randn(1, 8)
    assert torch.equal(block(x, time), x)  # before training
    awake(block)
    norms = block.norm1, block.norm2
    first, second = (([8], n.weight, n.bias) for n in norms)
    h = block.linear1(F.silu(F.layer_norm(x, *first))) + time
    h = block.linear2(F.silu(F.layer_norm(h, *second)))
    torch.testing.assert_close(block(x, time), x + h)
    assert block.skip is None and block.time is None


def test_scalar_time_is_a_share_of_all_steps():
    net = small(num_steps=50)
    weight, bias = net.time.linear1.weight, net.time.linear1.bias
    expected = weight.sum(1) * 10 / 50 + bias
    torch.testing.assert_close(net.time(torch.tensor([10]))[0], expected)


@pytest.mark.parametrize('channels', [1, 2, 6, 7])
def test_sinusoid_closed_form(channels):
    half = channels // 2
    for t in (0, 1, 999):
        angles = [t / 10000 ** (i / half) for i in range(half)]
        expected = [*map(math.cos, angles), *map(math.sin, angles)]
        expected += [0.0] * (channels % 2)
        row = sinusoid(torch.tensor([t]), channels)[0]
        assert row.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize('shape', [(5, 24), (0, 24), (2, 24, 3, 4)])
@pytest.mark.parametrize('groups', [1, 3])
def test_group_norm_is_torchs(shape, groups):
    norm, reference = GroupNorm(groups, 24), nn.GroupNorm(groups, 24)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    reference.load_state_dict(norm.state_dict())
    x = torch.randn(shape, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    target = torch.randn(shape)
    (norm(x) * target).sum().backward()
    (reference(y) * target).sum().backward()
    torch.testing.assert_close(norm(x), reference(y))
    torch.testing.assert_close(x.grad, y.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.weight.grad, reference.weight.grad)


@pytest.mark.parametrize(
    ('channels', 'groups', 'expected'),
    [
        (768, 32, 32),
        (1024, 32, 32),
        (256, 32, 32),
        (64, 32, 8),
        (128, 32, 16),
        (100, 32, 4),
        (7, 32, 1),
        (96, 6, 6),
        (80, 32, 8),
    ],
)
def test_groups_divide_the_channels_and_keep_eight(channels, groups, expected):
    assert group_norm(channels, groups).num_groups == expected


@pytest.mark.parametrize(
    ('options', 'tensors', 'values'),
    [
        (dict(channels=768, time_embedding='periodic'), 170, 39_026_688),
        (
            dict(channels=1024, num_blocks=8, num_middle_blocks=4),
            182,
            69_357_568,
        ),
    ],
)
def test_size_of_the_released_models(options, tensors, values):
    with torch.device('meta'):
        state = DenoisingMLP(**options).state_dict()
    assert len(state) == tensors
    assert sum(v.numel() for v in state.values()) == values


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_runs_in_other_precisions(dtype):
    net, x = small('periodic'), torch.randn(4, 16)
    expected = net(x, 5)
    out = net.to(dtype)(x.to(dtype), 5)
    assert out.dtype == dtype
    tolerance = dict(atol=1e-5 if dtype == torch.float64 else 0.1, rtol=0.05)
    torch.testing.assert_close(out.float(), expected, **tolerance)


def test_runs_under_autocast():
    net, x = small('periodic'), torch.randn(4, 16)
    expected = net(x, 5)
    with torch.autocast('cpu', torch.bfloat16):
        out = net(x, 5)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, atol=0.1, rtol=0.05)


def test_learns_to_find_the_noise():
    net = DenoisingMLP(16, num_blocks=1, num_middle_blocks=0, num_steps=4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    generator = torch.Generator().manual_seed(1)
    centres = 2 * torch.randn(4, 16, generator=generator)
    losses = []
    for _ in range(150):
        noise = torch.randn(128, 16, generator=generator)
        t = torch.randint(4, (128,), generator=generator)
        x = centres[t] + noise  # the mean depends on the time alone
        loss = (net(x, t) - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(1, abs=0.1)  # nothing predicted
    # A fixed share of x leaves 4 / (4 + 1).
    assert sum(losses[-10:]) / 10 < 0.5


def test_refuses_features_of_another_width():
    pattern = r'DenoisingMLP .*channels=16 .*width 24; set channels'
    with pytest.raises(ValueError, match=pattern):
        small()(torch.zeros(2, 24), 0)


@pytest.mark.parametrize('shape', [(16,), (2, 16, 3, 3)])
def test_refuses_what_is_not_a_list_of_features(shape):
    with pytest.raises(ValueError, match=r'\(N, C\), got \((16|2, 16)'):
        small()(torch.zeros(shape), 0)


@pytest.mark.parametrize('t', [-1, 50, 1000])
def test_refuses_times_outside_the_diffusion(t):
    with pytest.raises(ValueError, match=rf't must be in 0\.\.49, got {t}'):
        small()(torch.zeros(2, 16), t)


@pytest.mark.parametrize('shape', [(), (1,), (3,), (2, 1)])
def test_refuses_another_number_of_times(shape):
    with pytest.raises(ValueError, match=r't must be an int or \(2,\)'):
        small()(torch.zeros(2, 16), torch.zeros(shape))


@pytest.mark.parametrize('network', [DenoisingMLP, DenoisingUNet])
@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('channels', 0),
        ('num_blocks', 0),
        ('num_middle_blocks', -1),
        ('num_steps', 0),
        ('groups', 0),
        ('time_embedding', 'learned'),
    ],
)
def test_refuses_arguments_that_make_no_network(network, name, value):
    with pytest.raises(ValueError, match=rf'{name} .*got .?{value}'):
        network(**(dict(channels=8) | {name: value}))
