"""BlurDiffusion against blurring step by step and closed forms."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from helpers import assert_near
from mmood.diffusion import BlurDiffusion
from mmood.diffusion.blur import _composed
from mmood.ops import gaussian_blur2d, gaussian_kernel1d


def impulse_variance(x):
    """Second moment along W of the answer to an impulse in the middle."""
    profile = x[0, 0].sum(0).double().numpy()
    place = np.arange(len(profile)) - len(profile) // 2
    return float((profile * place**2).sum() / profile.sum())


def impulse(size=41):
    x = torch.zeros(1, 1, size, size, dtype=torch.float64)
    x[..., size // 2, size // 2] = 1
    return x


def test_sigmas_grow_linearly():
    expected = [0.1, 0.275, 0.45, 0.625, 0.8]
    assert BlurDiffusion().sigmas == pytest.approx(expected, abs=1e-6)


def test_single_step_takes_the_last_sigma():
    process = BlurDiffusion(1, sigma_start=0.1, sigma_end=0.8)
    assert process.sigmas == pytest.approx([0.8], abs=1e-6)
    x = torch.randn(1, 2, 7, 7)
    expected = gaussian_blur2d(x, 0.8)
    torch.testing.assert_close(process.degrade(x), expected)
    torch.testing.assert_close(process.forward_process(x)[1], expected)


def test_forward_process_is_sequential_blurring():
    x = torch.randn(2, 3, 8, 9)
    maps = BlurDiffusion().forward_process(x)
    assert len(maps) == 6
    assert maps[0] is x
    expected = x
    for sigma, result in zip(np.linspace(0.1, 0.8, 5), maps[1:]):
        expected = gaussian_blur2d(expected, float(sigma))
        assert_near(result, expected)


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (4, 3), (26, 31)])
@pytest.mark.parametrize('num_steps', [1, 3, 5])
def test_blur_equals_the_sequence_up_to_the_border(num_steps, size):
    process = BlurDiffusion(num_steps)
    x = torch.randn(2, 3, *size)
    maps = process.forward_process(x)
    for t, expected in enumerate(maps):
        assert_near(process.blur(x, t), expected)
    assert_near(process.degrade(x), process.blur(x, num_steps))


def test_time_zero_is_the_map_itself():
    x = torch.randn(1, 2, 3, 4)
    assert torch.equal(BlurDiffusion().blur(x, 0), x)


def test_variances_add_not_deviations():
    process = BlurDiffusion()
    taps = np.arange(-2, 3)
    kernels = [gaussian_kernel1d(s).numpy() for s in process.sigmas]
    by_variance = sum(float((k * taps**2).sum()) for k in kernels)
    answer = process.degrade(impulse())
    assert impulse_variance(answer) == pytest.approx(by_variance, abs=1e-5)
    # The paper's Eq. 4, sigma = sum of all sigma_k, blurs four times more.
    by_sum = ndimage.gaussian_filter(
        impulse().numpy(), [0, 0] + [sum(process.sigmas)] * 2, truncate=8
    )
    sequence = process.forward_process(impulse())[-1].numpy()
    assert np.abs(by_sum - sequence).max() > 0.1
    assert np.abs(answer.numpy() - sequence).max() < 1e-5


@pytest.mark.parametrize('size', [(1, 1), (1, 6), (3, 1)])
def test_small_and_constant_maps_stay_what_they_are(size):
    x = torch.full((1, 2, *size), 1.5)
    process = BlurDiffusion()
    for result in [*process.forward_process(x), process.degrade(x)]:
        torch.testing.assert_close(result, x, rtol=1e-5, atol=0)


def test_empty_batch():
    x = torch.zeros(0, 2, 4, 4)
    process = BlurDiffusion(2)
    assert process.degrade(x).shape == x.shape
    assert [m.shape for m in process.forward_process(x)] == [x.shape] * 3


def test_gradient_passes_through_the_end():
    x = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    process = BlurDiffusion(2)
    assert torch.autograd.gradcheck(process.degrade, x)
    # Each output is a weighted mean, and all the weights come from inputs.
    (grad,) = torch.autograd.grad(process.degrade(x).sum(), x)
    assert grad.sum().item() == pytest.approx(9)


def test_has_nothing_to_train():
    assert not isinstance(BlurDiffusion(), nn.Module)
    x = torch.randn(1, 1, 4, 4)
    assert not BlurDiffusion().degrade(x).requires_grad


@pytest.mark.parametrize('num_steps', [0, -2])
def test_needs_a_step(num_steps):
    with pytest.raises(ValueError, match=f'num_steps .*got {num_steps}'):
        BlurDiffusion(num_steps)


@pytest.mark.parametrize('t', [-1, 4])
def test_refuses_times_outside_the_process(t):
    with pytest.raises(ValueError, match=rf't must be in 0\.\.3, got {t}'):
        BlurDiffusion(3).blur(torch.zeros(1, 1, 2, 2), t)


def test_refuses_bad_kernels():
    with pytest.raises(ValueError, match='sigma .*got -0.5'):
        BlurDiffusion(2, sigma_start=-0.5)
    with pytest.raises(ValueError, match='kernel_size .*got 4'):
        BlurDiffusion(kernel_size=4)


def test_filter_has_no_denormal_weights():
    """They would not change the result, but the speed of the product."""
    weights = _composed(
        64, tuple(BlurDiffusion().sigmas), 5, torch.device('cpu'),
        torch.float32,
    )  # fmt: skip
    assert weights[weights > 0].min() >= 1e-12
    torch.testing.assert_close(weights.sum(1), torch.ones(64))


def test_what_inference_mode_has_kept_serves_a_backward_pass():
    x = torch.randn(1, 2, 23, 19, requires_grad=True)  # sizes of no other test
    with torch.inference_mode():
        BlurDiffusion().degrade(x)
    BlurDiffusion().degrade(x).sum().backward()
    assert x.grad.sum().item() == pytest.approx(x.numel(), rel=1e-4)
