"""Gaussian-noise diffusion against closed forms in numpy."""

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.diffusion import GaussianDiffusion, NoiseDiffusion

ALPHA_BARS = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
CHAIN = np.cumprod(1 - np.linspace(1e-4, 0.5, 5))


def test_alpha_bars_match_numpy():
    process = GaussianDiffusion()
    assert process.alpha_bars.dtype == torch.float64
    np.testing.assert_allclose(
        process.alpha_bars.numpy(), ALPHA_BARS, rtol=1e-9
    )


def test_alpha_bars_of_known_betas():
    process = GaussianDiffusion(3, 0.1, 0.3)
    expected = [0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7]
    assert process.alpha_bars.tolist() == pytest.approx(expected)


@pytest.mark.parametrize('shape', [(3,), (3, 5), (3, 2, 4, 4), (0, 5)])
def test_q_sample_closed_form_with_a_time_per_sample(shape):
    x, noise = torch.randn(shape), torch.randn(shape)
    t = torch.tensor([0, 500, 999])[: shape[0]]
    a = ALPHA_BARS[t.numpy()].reshape(-1, *[1] * (len(shape) - 1))
    expected = np.sqrt(a) * x.numpy() + np.sqrt(1 - a) * noise.numpy()
    result = GaussianDiffusion().q_sample(x, t, noise)
    assert result.dtype == x.dtype
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)


def test_first_time_is_nearly_the_map_and_last_nearly_the_noise():
    x, noise = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    process = GaussianDiffusion()
    torch.testing.assert_close(
        process.q_sample(x, 0, noise), x, atol=0.011, rtol=0
    )
    torch.testing.assert_close(
        process.q_sample(x, 999, noise), noise, atol=0.01, rtol=0
    )


@pytest.mark.parametrize('t', [0, 7, 99])
def test_int_and_tensor_times_agree(t):
    process = GaussianDiffusion(100)
    x, noise = torch.randn(4, 2), torch.randn(4, 2)
    expected = process.q_sample(x, torch.full((4,), t), noise)
    assert_near(process.q_sample(x, t, noise), expected)
    assert_near(process.q_sample(x, torch.tensor(t), noise), expected)


@pytest.mark.parametrize('t', [0, 400, 999])
def test_q_sample_has_the_mean_and_variance_of_the_process(t):
    x, noise = torch.full((20000,), 2.0), torch.randn(20000)
    sample = GaussianDiffusion().q_sample(x, t, noise)
    deviation = np.sqrt(1 - ALPHA_BARS[t])
    assert sample.mean().item() == pytest.approx(
        2 * np.sqrt(ALPHA_BARS[t]), abs=4 * deviation / 20000**0.5
    )
    assert sample.std().item() == pytest.approx(deviation, rel=0.03)


def test_q_sample_gradient_is_the_signal_share():
    x = torch.randn(2, 3, requires_grad=True)
    t = torch.tensor([10, 900])
    GaussianDiffusion().q_sample(x, t, torch.randn(2, 3)).sum().backward()
    expected = np.repeat(np.sqrt(ALPHA_BARS[[10, 900]])[:, None], 3, 1)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize('t', [-1, 10, torch.tensor([0, 10])])
def test_refuses_times_outside_the_process(t):
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r'0\.\.9, got \[?(-1|0, )?'):
        GaussianDiffusion(10).q_sample(x, t, x)


@pytest.mark.parametrize('t', [0, 24, 999])
def test_sigma_is_the_share_of_the_noise(t):
    process = GaussianDiffusion()
    assert process.sigma(t) == pytest.approx(np.sqrt(1 - ALPHA_BARS[t]))
    ones = torch.ones(2, 3)
    sample = process.q_sample(0 * ones, t, ones)
    torch.testing.assert_close(sample, process.sigma(t) * ones)


@pytest.mark.parametrize('t', [1, 24, 999])
def test_reverse_step_is_the_posterior_of_the_process(t):
    """q(x_{t-1} | x_t, x_0) of two Gaussians multiplied, by hand."""
    process = GaussianDiffusion()
    x0, n = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    x_t = process.q_sample(x0, t, n)
    beta = np.linspace(1e-4, 0.02, 1000)[t]
    before = 1 - ALPHA_BARS[t - 1]
    # x_t given x_{t-1}, and x_{t-1} given x_0: precisions add.
    variance = 1 / ((1 - beta) / beta + 1 / before)
    mean = variance * (
        x_t * np.sqrt(1 - beta) / beta
        + x0 * np.sqrt(ALPHA_BARS[t - 1]) / before
    )
    step = process.reverse_step(x_t, t, n)
    torch.testing.assert_close(step, mean)
    fresh = torch.randn(5, 3).double()
    noisy = process.reverse_step(x_t, t, n, fresh)
    torch.testing.assert_close(noisy - step, np.sqrt(variance) * fresh)


def test_last_reverse_step_ends_at_the_start_whatever_the_noise():
    process = GaussianDiffusion()
    x, n = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    x_0 = process.q_sample(x, 0, n)
    torch.testing.assert_close(process.reverse_step(x_0, 0, n), x)
    torch.testing.assert_close(process.reverse_step(x_0, 0, n, n), x)


def test_reverse_step_refuses_what_does_not_fit():
    process, x = GaussianDiffusion(10), torch.zeros(3, 2)
    for t in (-1, 10):
        with pytest.raises(ValueError, match=rf't must be in 0.*got {t}'):
            process.reverse_step(x, t, x)
        with pytest.raises(ValueError, match=rf't must be in 0.*got {t}'):
            process.sigma(t)
    with pytest.raises(ValueError, match=r'predicted .*\(3, 1\), x_t .*2\)'):
        process.reverse_step(x, 1, x[:, :1])
    with pytest.raises(ValueError, match=r'noise .*\(3, 1\), x_t .*2\)'):
        process.reverse_step(x, 1, x, x[:, :1])


def test_refuses_noise_of_another_shape():
    with pytest.raises(ValueError, match=r'\(3, 1\).*\(3, 2\)'):
        GaussianDiffusion().q_sample(torch.zeros(3, 2), 0, torch.zeros(3, 1))


@pytest.mark.parametrize(
    'betas', [(0, 0.1), (0.2, 0.1), (0.1, 1.0), (-0.1, 0.1)]
)
def test_refuses_betas_that_are_no_schedule(betas):
    with pytest.raises(ValueError, match=f'{betas[0]} and {betas[1]}'):
        GaussianDiffusion(10, *betas)


@pytest.mark.parametrize('process', [GaussianDiffusion, NoiseDiffusion])
def test_needs_a_step(process):
    with pytest.raises(ValueError, match='num_steps .*got 0'):
        process(0)


def test_noise_chain_starts_with_the_map_and_keeps_its_variance():
    x = torch.randn(1, 4, 64, 64)
    maps = NoiseDiffusion().forward_process(x)
    assert len(maps) == 6
    assert maps[0] is x
    for m in maps[1:]:
        assert m.var().item() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize('scale', [1.0, 50.0])
def test_degrade_has_the_distribution_of_the_end_of_the_chain(scale):
    x = torch.randn(1, 4, 64, 64) * scale
    process = NoiseDiffusion()
    for end in (process.forward_process(x)[-1], process.degrade(x)):
        kept = ((end * x).sum() / (x * x).sum()).item()
        assert kept == pytest.approx(np.sqrt(CHAIN[-1]), abs=0.03)
        rest = end - np.sqrt(CHAIN[-1]) * x
        assert rest.mean().item() == pytest.approx(0, abs=0.03 * scale)
        assert rest.std().item() == pytest.approx(
            np.sqrt(1 - CHAIN[-1]) * scale, rel=0.03
        )


def test_each_step_of_the_chain_has_its_share_of_signal():
    x = torch.randn(1, 4, 64, 64)
    maps = NoiseDiffusion().forward_process(x)
    kept = [((m * x).sum() / (x * x).sum()).item() for m in maps[1:]]
    np.testing.assert_allclose(kept, np.sqrt(CHAIN), atol=0.03)


def test_noise_of_a_constant_map_vanishes():
    x = torch.full((1, 2, 4, 4), 3.0)
    torch.testing.assert_close(
        NoiseDiffusion().degrade(x), x * float(np.sqrt(CHAIN[-1]))
    )


def test_single_value_and_empty_batch_are_finite():
    process = NoiseDiffusion()
    for shape in [(1, 1, 1, 1), (0, 2, 3, 3)]:
        x = torch.zeros(shape)
        end, chain = process.degrade(x), process.forward_process(x)
        assert end.shape == chain[-1].shape == x.shape
        assert torch.isfinite(end).all() and torch.isfinite(chain[-1]).all()
