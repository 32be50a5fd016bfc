"""DFDDNeck with a blur of its own for each level."""

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.diffusion import BlurDiffusion
from mmood.necks import DFDDNeck

SIZES = [(12, 10), (6, 5), (3, 3)]
ENDS = [0.4, 0.8, 1.6]


def pyramid():
    return [torch.randn(2, 4, *size) for size in SIZES]


def built(**diffusion):
    return DFDDNeck(4, diffusion=dict(type='blur', **diffusion))


@pytest.mark.parametrize('training', [True, False])
def test_each_level_has_its_strength(training):
    maps = pyramid()
    neck = built(sigma_end=ENDS).train(training)
    found = neck(maps).maps['blurred']
    for x, blurred, end in zip(maps, found, ENDS):
        assert_near(blurred, BlurDiffusion(sigma_end=end).degrade(x))


def test_several_lists_go_together_level_by_level():
    starts, sizes = [0.2, 0.3, 0.4], [3, 5, 7]
    neck = built(
        num_steps=2, sigma_start=starts, sigma_end=ENDS, kernel_size=sizes
    )
    assert [d.sigmas for d in neck.diffusions] == [
        pytest.approx(pair) for pair in zip(starts, ENDS)
    ]
    assert [d.kernel_size for d in neck.diffusions] == sizes
    assert [d.num_steps for d in neck.diffusions] == [2, 2, 2]


def test_equal_values_are_the_one_value_for_all():
    maps = pyramid()
    one, each = built(sigma_end=1.2), built(sigma_end=[1.2] * 3)
    each.load_state_dict(one.state_dict())
    for neck in (one, each):
        torch.nn.init.normal_(neck.psi.residual.weight)
    each.psi.load_state_dict(one.psi.state_dict())
    mine, other = each.train()(maps), one.train()(maps)
    for a, b in zip([*mine, *mine.maps['deblurred']],
                    [*other, *other.maps['deblurred']]):  # fmt: skip
        assert_near(a, b)
    assert_near(mine.losses['loss_deblur'], other.losses['loss_deblur'])


def test_the_loss_is_of_each_levels_own_chain():
    """For a network of zeros: the energy of the detail, by level."""
    maps = pyramid()
    out = built(sigma_end=ENDS).train()(maps)
    levels = []
    for x, end in zip(maps, ENDS):
        chain = BlurDiffusion(sigma_end=end).forward_process(x.double())
        errors = [
            (before - after).square().numpy().sum(1).mean()
            for before, after in zip(chain[:-1], chain[1:])
        ]
        levels.append(np.mean(errors))
    expected = 0.001 * np.mean(levels)
    got = out.losses['loss_deblur'].item()
    assert got == pytest.approx(expected, rel=1e-5)


def test_outliers_through_psi_are_blurred_twice_by_their_level():
    maps = pyramid()
    neck = DFDDNeck(
        4, diffusion=dict(type='blur', sigma_end=ENDS), enhance_outliers=True
    ).train()
    torch.nn.init.normal_(neck.psi.residual.weight)
    for x, got, end in zip(maps, neck(maps).maps['blurred'], ENDS):
        process = BlurDiffusion(sigma_end=end)
        once = process.degrade(x)
        assert_near(got, neck.psi(once, process.degrade(once)))


@pytest.mark.parametrize(
    ('diffusion', 'message'),
    [
        (dict(sigma_end=[0.4, 0.8], sigma_start=[0.1]), 'a value for each'),
        (dict(sigma_end=[]), 'a value for each'),
        (dict(num_steps=[3, 5, 5]), 'num_steps .* one number'),
        (dict(sigma_end=[0.4, -1]), 'sigma must be positive'),
        (dict(sigma_end=0.8, type='heat'), "'heat'.*'blur', 'noise'"),
    ],
)
def test_what_fits_no_level_is_refused(diffusion, message):
    with pytest.raises(ValueError, match=message):
        DFDDNeck(4, diffusion={'type': 'blur', **diffusion})


@pytest.mark.parametrize('count', [2, 4])
def test_another_number_of_levels_is_refused(count):
    maps = (pyramid() * 2)[:count]
    with pytest.raises(ValueError, match=f'lists of 3 .* have {count} levels'):
        built(sigma_end=ENDS)(maps)
