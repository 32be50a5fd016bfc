"""DFDDNeck against closed forms of its untrained and hand-set networks."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers import assert_near
from mmood.diffusion import BlurDiffusion, NoiseDiffusion
from mmood.necks import DFDDNeck, Pyramid, collect_losses
from mmood.registry import MODELS

SIZES = [(12, 10), (6, 5), (1, 1)]


def pyramid(channels=4, sizes=SIZES, grad=False):
    return [torch.randn(2, channels, *s, requires_grad=grad) for s in sizes]


def deblur_loss(maps, detail=0.0):
    """L_DFDD averaged over levels for a U-Net that always says ``detail``."""
    levels = []
    for x in maps:
        chain = BlurDiffusion().forward_process(x.detach().double())
        errors = [
            (before - after - detail).square().numpy().sum(1).mean()
            for before, after in zip(chain[:-1], chain[1:])
        ]
        levels.append(np.mean(errors))
    return np.mean(levels)


def assert_same_maps(got, expected):
    assert len(got) == len(expected)
    for g, e in zip(got, expected):
        assert_near(g, e)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('kind', ['blur', 'noise'])
def test_untrained_neck_hands_its_maps_on(training, kind):
    maps = pyramid()
    neck = DFDDNeck(4, diffusion=dict(type=kind)).train(training)
    out = neck(maps)
    assert isinstance(out, Pyramid) and isinstance(out, tuple)
    assert_same_maps(out, maps)


def test_products_of_training():
    maps = pyramid()
    out = DFDDNeck(4).train()(maps)
    process = BlurDiffusion()
    assert_same_maps(out.maps['blurred'], [process.degrade(x) for x in maps])
    # A network of zeros predicts no detail: the end of the chain stays.
    ends = [process.forward_process(x)[-1] for x in maps]
    assert_same_maps(out.maps['deblurred'], ends)


def test_chain_and_blurred_maps_agree():
    maps = pyramid(sizes=[(26, 26)])
    out = DFDDNeck(4).train()(maps)
    torch.testing.assert_close(
        out.maps['deblurred'][0], out.maps['blurred'][0], atol=2e-6, rtol=0
    )


def test_evaluation_makes_no_reverse_process():
    maps = pyramid()
    out = DFDDNeck(4).eval()(maps)
    assert list(out.maps) == ['blurred'] and not out.losses
    assert_same_maps(
        out.maps['blurred'], [BlurDiffusion().degrade(x) for x in maps]
    )


@pytest.mark.parametrize('weight', [0.001, 2.0])
@pytest.mark.parametrize('sizes', [SIZES, [(8, 8)]])
def test_untrained_loss_is_the_energy_of_the_detail(weight, sizes):
    maps = pyramid(sizes=sizes)
    out = DFDDNeck(4, loss_weight=weight).train()(maps)
    expected = weight * deblur_loss(maps)
    assert out.losses['loss_deblur'].item() == pytest.approx(
        expected, rel=1e-5
    )


def test_loss_and_estimate_of_a_constant_prediction():
    maps = pyramid()
    neck = DFDDNeck(4, loss_weight=1.0).train()
    nn.init.constant_(neck.unet.decoder[-1].bias, 0.25)
    out = neck(maps)
    expected = deblur_loss(maps, 0.25)
    assert out.losses['loss_deblur'].item() == pytest.approx(
        expected, rel=1e-5
    )
    for x, estimate in zip(maps, out.maps['deblurred']):
        end = BlurDiffusion().forward_process(x)[-1]
        torch.testing.assert_close(estimate, end + 5 * 0.25)


def test_enhancement_adds_the_residual():
    maps = pyramid()
    neck = DFDDNeck(4).eval()
    nn.init.dirac_(neck.psi.residual.weight)
    for x, e, b in zip(maps, neck(maps), neck(maps).maps['blurred']):
        torch.testing.assert_close(e, 2 * x - b)


def test_enhancement_is_one_convolution_over_the_concatenation():
    x, blurred = torch.randn(2, 2, 4, 5, 3)
    psi = DFDDNeck(4).psi
    for p in psi.parameters():
        nn.init.normal_(p)
    weight = torch.cat([psi.original.weight, psi.residual.weight], 1)
    both = torch.cat([x, x - blurred], 1)
    expected = nn.functional.conv2d(both, weight, psi.original.bias)
    torch.testing.assert_close(psi(x, blurred), expected)


def test_loss_pulls_the_network_but_not_the_maps():
    maps = pyramid(grad=True)
    neck = DFDDNeck(4).train()
    out = neck(maps)
    grads = torch.autograd.grad(
        out.losses['loss_deblur'], maps, retain_graph=True, allow_unused=True
    )
    assert grads == (None,) * len(maps)
    last = neck.unet.decoder[-1].weight
    (grad,) = torch.autograd.grad(out.losses['loss_deblur'], last)
    assert grad.abs().sum() > 0


def test_outputs_and_blurred_maps_pass_the_gradient_on():
    maps = pyramid(grad=True)
    out = DFDDNeck(4, deblur=False).train()(maps)
    for got in (out, out.maps['blurred']):
        total = sum(m.sum() for m in got)
        for x, g in zip(
            maps, torch.autograd.grad(total, maps, retain_graph=True)
        ):
            # Both are averages of the input whose weights sum to 1.
            assert g.sum().item() == pytest.approx(x.numel(), rel=1e-5)


@pytest.mark.parametrize('kind', ['blur', 'noise'])
def test_every_parameter_takes_part(kind):
    neck = DFDDNeck(4, diffusion=dict(type=kind)).train()
    nn.init.normal_(neck.unet.decoder[-1].weight)
    out = neck(pyramid())
    total = sum(m.square().sum() for m in [*out, *out.maps['deblurred']])
    (total + collect_losses(out)['loss_deblur']).backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize('training', [True, False])
def test_without_enhancement_the_maps_themselves_go_on(training):
    maps = pyramid()
    neck = DFDDNeck(4, enhance=False).train(training)
    out = neck(maps)
    assert all(a is b for a, b in zip(out, maps))
    assert all(n.startswith('unet.') for n, _ in neck.named_parameters())
    if training:
        expected = [BlurDiffusion().degrade(x) for x in maps]
        assert_same_maps(out.maps['blurred'], expected)
        assert out.losses['loss_deblur'].item() == pytest.approx(
            0.001 * deblur_loss(maps), rel=1e-5
        )
    else:
        assert not out.maps and not out.losses


def test_without_deblurring_there_is_no_loss():
    maps = pyramid()
    neck = DFDDNeck(4, deblur=False).train()
    out = neck(maps)
    assert list(out.maps) == ['blurred'] and not out.losses
    assert_same_maps(
        out.maps['blurred'], [BlurDiffusion().degrade(x) for x in maps]
    )
    assert all(n.startswith('psi.') for n, _ in neck.named_parameters())


def test_diffusion_arguments_reach_the_process():
    cfg = dict(type='blur', num_steps=2, sigma_end=1.5)
    neck = DFDDNeck(4, diffusion=cfg)
    maps = pyramid()
    expected = BlurDiffusion(2, sigma_end=1.5)
    assert_same_maps(
        neck(maps).maps['blurred'], [expected.degrade(x) for x in maps]
    )
    assert neck.unet.num_steps == 2
    assert cfg == dict(type='blur', num_steps=2, sigma_end=1.5)


def test_noise_takes_the_place_of_blur():
    maps = pyramid(sizes=[(64, 64)])
    neck = DFDDNeck(4, diffusion=dict(type='noise', num_steps=3))
    assert isinstance(neck.diffusions[0], NoiseDiffusion)
    (blurred,) = neck(maps).maps['blurred']
    signal = np.sqrt(np.prod(1 - np.linspace(1e-4, 0.5, 3)))
    kept = (blurred * maps[0]).sum() / maps[0].square().sum()
    assert kept.item() == pytest.approx(signal, abs=0.03)


def test_width_of_the_network():
    assert DFDDNeck(64).unet.encoder[0].out_channels == 16
    assert DFDDNeck(64, width=5).unet.encoder[0].out_channels == 5


def test_built_from_a_config():
    neck = MODELS.build(dict(type='mmood.DFDDNeck', channels=4))
    assert isinstance(neck, DFDDNeck)


@pytest.mark.parametrize('shape', [(2, 3, 5, 5), (4, 5, 5)])
def test_refuses_other_maps(shape):
    maps = [*pyramid(), torch.zeros(shape)]
    with pytest.raises(ValueError, match='channels=4 .*' + str(shape)[1:-1]):
        DFDDNeck(4)(maps)


def test_amp_is_close_to_full_precision():
    """The CPU's autocast; mmcv's NMS and AmpOptimWrapper need a GPU."""
    neck = DFDDNeck(16).train()
    torch.nn.init.normal_(neck.unet.decoder[-1].weight, std=0.05)
    x = torch.randn(2, 16, 12, 12)
    full = neck([x])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = neck([x])
    for product in ('blurred', 'deblurred'):
        mine, other = half.maps[product][0], full.maps[product][0]
        assert (mine.float() - other).norm() < 0.02 * other.norm()
    assert half.losses['loss_deblur'].item() == pytest.approx(
        full.losses['loss_deblur'].item(), rel=0.03
    )
    half.losses['loss_deblur'].backward()
    grad = neck.unet.decoder[-1].weight.grad
    assert grad.dtype == torch.float32
    assert 0 < grad.abs().sum() < float('inf')


def test_outliers_pass_through_psi_unless_told_otherwise():
    maps = pyramid()
    process = BlurDiffusion()
    for enhance_outliers in (True, False):
        neck = DFDDNeck(4, enhance_outliers=enhance_outliers).train()
        torch.nn.init.normal_(neck.psi.residual.weight)
        expected = [process.degrade(x) for x in maps]
        if enhance_outliers:
            expected = [neck.psi(b, process.degrade(b)) for b in expected]
        assert_same_maps(neck(maps).maps['blurred'], expected)


@pytest.mark.parametrize('enhance', [True, False])
@pytest.mark.parametrize('grad', [True, False])
def test_a_loss_that_no_head_takes_is_refused(enhance, grad):
    """A detector would train, and never learn to deblur; frozen or not."""
    maps = pyramid(grad=grad)
    out = DFDDNeck(4, enhance=enhance).train()(maps)
    with pytest.raises(RuntimeError, match='loss_deblur.*mmood.OODRoIHead'):
        sum(m.sum() for m in out).backward()
    assert collect_losses(out) == out.losses
    sum(m.sum() for m in out).backward()


@pytest.mark.parametrize('deblur', [True, False])
def test_it_says_what_it_makes(deblur):
    neck = DFDDNeck(4, deblur=deblur).train()
    out = neck(pyramid())
    assert set(neck.makes) == {*out.maps, *out.losses}


def test_noise_at_test_depends_on_nothing_but_the_place():
    """Neither on batch mates, nor on the order, nor on the map's size."""
    neck = DFDDNeck(4, diffusion=dict(type='noise')).eval()
    nn.init.normal_(neck.psi.residual.weight)
    x = torch.randn(3, 4, 9, 70)
    x[1] *= 50
    (whole,) = neck([x])
    for part in ([2, 0], [1]):
        (alone,) = neck([x[part]])
        torch.testing.assert_close(alone, whole[part])
    (chain,) = neck.diffusions
    # Each map has its own deviation.
    kept = np.sqrt(np.prod(1 - np.linspace(1e-4, 0.5, 5)))
    noise = (chain.degrade(x, fixed=True) - kept * x).flatten(1)
    share = noise.std(1) / x.flatten(1).std(1)
    torch.testing.assert_close(share, share[:1].expand(3))
    assert share[0].item() == pytest.approx(np.sqrt(1 - kept**2), rel=0.1)
    # A map that goes on elsewhere, and is as varied, has the same there.
    twice = chain.degrade(torch.cat([x, x], 2), fixed=True)[:, :, :9]
    torch.testing.assert_close(
        twice, chain.degrade(x, fixed=True), rtol=1e-3, atol=0.02
    )
    assert not torch.equal(chain.degrade(x), chain.degrade(x))
