"""Diffusion scores against closed forms in numpy and known denoisers."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers import assert_near
from mmood.diffusion import DenoisingMLP, DenoisingUNet, GaussianDiffusion
from mmood.metrics import average_precision
from mmood.scores import diffusion_score, directional_error

PROCESS = GaussianDiffusion()
ALPHA_BARS = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
SIGMAS = np.sqrt(1 - ALPHA_BARS)
KINDS = ['cosine', 'mse_score', 'mse_recon']
SHAPES = [(7, 16), (2, 16, 3, 4)]
TOLERANCE = dict(atol=1e-5, rtol=1e-4)


def oracle(x0, process=PROCESS):
    """The denoiser that knows ``x0`` and finds exactly the noise."""

    def denoise(x_t, t):
        signal = process.alpha_bars[t].sqrt().item()
        return (x_t - signal * x0.to(x_t)) / process.sigma(t)

    return denoise


def zeros(x_t, t):
    return torch.zeros_like(x_t)


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def awake(net):
    for parameter in net.parameters():
        if parameter.abs().sum() == 0:
            nn.init.normal_(parameter, std=0.2)
    return net.eval()


@pytest.mark.parametrize('shape', [(5, 7), (2, 7, 3, 4), (0, 7)])
def test_directional_error_matches_numpy(shape):
    a, b = torch.randn(shape), torch.randn(shape)
    x, y = a.double().numpy(), b.double().numpy()
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    expected = -(x * y).sum(1) / lengths
    error = directional_error(a, b).numpy()
    np.testing.assert_allclose(error, expected, atol=1e-6)
    turned = directional_error(a.movedim(1, -1), b.movedim(1, -1), dim=-1)
    np.testing.assert_allclose(turned.numpy(), expected, atol=1e-6)


def test_directional_error_of_known_directions():
    noise = torch.tensor([[3.0, 4.0]]).repeat(5, 1)
    predicted = torch.tensor(
        [[6.0, 8.0], [-0.3, -0.4], [4.0, -3.0], [0.0, 0.0], [1.0, 0.0]]
    )
    errors = directional_error(predicted, noise)
    assert errors.tolist() == pytest.approx([-1, 1, 0, 0, -0.6], abs=1e-6)
    assert torch.equal(directional_error(0 * noise, 0 * noise), torch.zeros(5))


def test_directional_error_stays_in_its_range():
    x = torch.randn(2000, 300)
    assert directional_error(x, x).min() >= -1
    assert directional_error(-x, x).max() <= 1


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_directional_error_of_halves_does_not_overflow(dtype):
    x = torch.full((1, 1000), 200.0, dtype=dtype)
    error = directional_error(x, x)
    assert error.dtype == torch.float32
    assert error.item() == pytest.approx(-1)


def test_directional_error_gradient_and_no_samples():
    a = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(directional_error, (a, b))
    empty = torch.zeros(0, 4, requires_grad=True)
    directional_error(empty, empty).sum().backward()
    assert empty.grad.shape == (0, 4)


def test_directional_error_refuses_other_shapes():
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(2, 1\)'):
        directional_error(torch.zeros(2, 3), torch.zeros(2, 1))


@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('shape', SHAPES)
def test_who_finds_the_noise_has_the_lowest_scores(shape, weighted):
    x0 = torch.randn(shape)
    options = dict(weighted=weighted, generator=seeded())
    cosine = diffusion_score(oracle(x0), PROCESS, x0, **options)
    least = -SIGMAS[:25].sum() if weighted else -25.0
    assert cosine.shape == shape[:1] + shape[2:]
    np.testing.assert_allclose(cosine.numpy(), least, rtol=1e-4)
    for kind in ('mse_score', 'mse_recon'):
        options['timesteps'] = [0, 3]
        score = diffusion_score(oracle(x0), PROCESS, x0, kind=kind, **options)
        assert score.shape == shape[:1] + shape[2:]
        assert score.abs().max() < 1e-6


@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('shape', SHAPES)
def test_who_predicts_nothing_has_the_size_of_the_noise(shape, weighted):
    x0 = torch.randn(shape)
    options = dict(timesteps=[0, 24, 600], weighted=weighted)
    cosine = diffusion_score(zeros, PROCESS, x0, **options)
    assert torch.equal(cosine, torch.zeros(shape[:1] + shape[2:]))
    noise, expected = seeded(), 0
    for t in (0, 24, 600):
        weight = SIGMAS[t] if weighted else 1
        n = torch.randn(shape, generator=noise)
        expected = expected + weight * n.square().mean(1)
    score = diffusion_score(
        zeros, PROCESS, x0, kind='mse_score', generator=seeded(), **options
    )
    np.testing.assert_allclose(score.numpy(), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize('weighted', [True, False])
def test_cosine_is_the_papers_sum(weighted):
    """Eq. 7 and 8 in numpy, for a denoiser that is neither."""
    x0 = torch.randn(6, 16)
    net = awake(DenoisingMLP(16, num_blocks=1, num_middle_blocks=0))
    noise, expected = seeded(), np.zeros(6)
    for t in range(25):
        n = torch.randn(6, 16, generator=noise)
        x_t = np.sqrt(ALPHA_BARS[t]) * x0 + SIGMAS[t] * n
        p = net(x_t.float(), t).detach().double().numpy()
        n = n.double().numpy()
        lengths = np.linalg.norm(p, axis=1) * np.linalg.norm(n, axis=1)
        weight = SIGMAS[t] if weighted else 1
        expected -= weight * (p * n).sum(1) / lengths
    score = diffusion_score(
        net, PROCESS, x0, weighted=weighted, generator=seeded()
    )
    np.testing.assert_allclose(score.numpy(), expected, **TOLERANCE)


def test_reconstruction_of_who_predicts_nothing():
    """From t = 1 two steps back, each divides by sqrt(alpha)."""
    process = GaussianDiffusion(2, 0.1, 0.4)
    x0 = torch.randn(5, 8)
    noise = seeded()
    n, fresh = (torch.randn(5, 8, generator=noise) for _ in range(2))
    x = np.sqrt(0.9 * 0.6) * x0 + np.sqrt(1 - 0.9 * 0.6) * n
    x = x / np.sqrt(0.6) + np.sqrt(0.4 * 0.1 / (1 - 0.9 * 0.6)) * fresh
    x = x / np.sqrt(0.9)
    score = diffusion_score(
        zeros,
        process,
        x0,
        kind='mse_recon',
        timesteps=[1],
        weighted=False,
        generator=seeded(),
    )
    torch.testing.assert_close(score, (x - x0).square().mean(1))


def test_reconstruction_takes_every_step_down_to_zero():
    called = []

    def record(x_t, t):
        called.append(t)
        return torch.zeros_like(x_t)

    diffusion_score(
        record, PROCESS, torch.zeros(1, 2), kind='mse_recon', timesteps=[0, 3]
    )
    assert called == [0, 3, 2, 1, 0]


@pytest.mark.parametrize('kind', KINDS)
def test_chunks_change_nothing(kind):
    net = awake(DenoisingMLP(16, num_blocks=1, num_middle_blocks=0))
    x0, sizes = torch.randn(10, 16), []

    def record(x_t, t):
        sizes.append(len(x_t))
        return net(x_t, t)

    scores = [
        diffusion_score(
            record,
            PROCESS,
            x0,
            kind=kind,
            timesteps=[0, 2],
            chunk_size=size,
            generator=seeded(),
        )
        for size in (1, 4, 10, 8192)
    ]
    for score in scores:
        torch.testing.assert_close(score, scores[-1], **TOLERANCE)
    assert set(sizes) == {1, 4, 2, 10}


def test_maps_are_not_cut():
    net = awake(DenoisingUNet(8, num_blocks=3, num_middle_blocks=0))
    x0 = torch.randn(3, 8, 4, 5)
    whole, cut = (
        diffusion_score(net, PROCESS, x0, chunk_size=size, generator=seeded())
        for size in (100, 1)
    )
    assert whole.shape == (3, 4, 5)
    assert_near(whole, cut)


@pytest.mark.parametrize('kind', KINDS)
def test_a_generator_repeats_its_noise(kind):
    x0 = torch.randn(4, 16)
    net = awake(DenoisingMLP(16, num_blocks=1, num_middle_blocks=0))

    def score(seed):
        return diffusion_score(
            net, PROCESS, x0, kind=kind, timesteps=[1], generator=seeded(seed)
        )

    assert_near(score(1), score(1))
    assert not torch.equal(score(1), score(2))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('kind', KINDS)
def test_halves_are_raised_to_float32(kind, dtype):
    x0 = torch.randn(4, 16).to(dtype)
    seen = []

    def in_half(x_t, t):
        seen.append(x_t.dtype)
        return oracle(x0)(x_t, t).to(dtype)

    options = dict(kind=kind, timesteps=[2, 5], weighted=False)
    score = diffusion_score(in_half, PROCESS, x0, **options)
    assert score.dtype == torch.float32
    assert set(seen) == {torch.float32}
    least = -2.0 if kind == 'cosine' else 0.0
    assert score.tolist() == pytest.approx([least] * 4, abs=1e-3)


def test_autocast_halves_the_denoiser_alone():
    net = awake(DenoisingMLP(16, num_blocks=1, num_middle_blocks=0))
    x0 = torch.randn(8, 16)
    expected = diffusion_score(net, PROCESS, x0, generator=seeded())
    with torch.autocast('cpu', torch.bfloat16):
        score = diffusion_score(net, PROCESS, x0, generator=seeded())
    assert score.dtype == torch.float32
    torch.testing.assert_close(score, expected, atol=0.05, rtol=0)
    assert not torch.equal(score, expected)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('shape', SHAPES)
def test_bfloat16_is_near_float32(kind, shape):
    """The numbers have 8 bits: cosines differ by about 1 / 256."""
    cls = DenoisingMLP if len(shape) == 2 else DenoisingUNet
    net = awake(cls(16, num_blocks=3, num_middle_blocks=0))
    weights = {name: w.clone() for name, w in net.state_dict().items()}
    x0 = torch.rand(shape) * 2 - 1
    times = range(25) if kind == 'cosine' else [0, 4]
    exact, half = (
        diffusion_score(
            net,
            PROCESS,
            x0,
            kind=kind,
            timesteps=times,
            dtype=dtype,
            generator=seeded(),
        )
        for dtype in ('float32', 'bfloat16')
    )
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, atol=0.02, rtol=0.03)
    for name, weight in net.state_dict().items():
        assert_near(weight, weights[name])  # float32 as they were


def test_bfloat16_multiplies_in_it_and_adds_in_float32():
    seen = {}

    def denoise(x_t, t):
        product = x_t @ torch.eye(16)
        seen[t] = x_t.dtype, product.dtype
        return product

    half = diffusion_score(
        denoise, PROCESS, torch.zeros(3, 16), dtype='bfloat16'
    )
    assert set(seen.values()) == {(torch.float32, torch.bfloat16)}
    # It finds the noise, scaled and rounded: what is left are the sums.
    assert half.tolist() == pytest.approx([-SIGMAS[:25].sum()] * 3, rel=1e-4)


def test_bfloat16_leaves_no_weights_without_gradient_behind():
    net = awake(DenoisingMLP(16, num_blocks=1, num_middle_blocks=0))
    x0 = torch.randn(4, 16)
    with torch.autocast('cpu', torch.bfloat16):
        diffusion_score(net, PROCESS, x0, dtype='bfloat16')
        net(x0, 3).float().square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_bfloat16_ranks_as_float32_does():
    """A denoiser trained on one cluster of two: AP within 0.1 points."""
    centres = 0.5 * torch.randn(2, 16).sign()
    net = DenoisingMLP(16, num_blocks=2, num_middle_blocks=1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(150):
        x0 = centres[0] + 0.2 * torch.randn(128, 16)
        t, noise = torch.randint(100, (128,)), torch.randn(128, 16)
        error = net(PROCESS.q_sample(x0, t, noise), t) - noise
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()
    is_ood = np.arange(4000) % 10 == 0
    x0 = centres[is_ood.astype(int)] + 0.2 * torch.randn(4000, 16)
    exact, half = (
        average_precision(
            diffusion_score(
                net, PROCESS, x0, dtype=dtype, generator=seeded()
            ).numpy(),
            is_ood,
        )
        for dtype in ('float32', 'bfloat16')
    )
    assert 0.2 < exact < 0.999  # of chance it is 0.1
    assert half == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('shape', [(0, 16), (0, 16, 2, 2), (1, 16, 0, 3)])
def test_no_features_have_no_scores(kind, shape):
    x0 = torch.zeros(shape, requires_grad=True)
    score = diffusion_score(zeros, PROCESS, x0, kind=kind, timesteps=[2])
    assert score.shape == shape[:1] + shape[2:]
    assert not score.requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ('options', 'pattern'),
    [
        (dict(kind='ssim'), "kind .*'cosine', 'mse_score'.*got 'ssim'"),
        (dict(timesteps=[]), 'timesteps is empty'),
        (dict(timesteps=[1000, 3]), r'0\.\.999, got \[1000\]; .*from 0'),
        (dict(timesteps=[-1]), r'0\.\.999, got \[-1\]'),
        (dict(dtype='float16'), "dtype .*'bfloat16'.*, got 'float16'"),
        (dict(chunk_size=0), 'chunk_size must be at least 1, got 0'),
    ],
)
def test_refuses_arguments_that_give_no_score(options, pattern):
    with pytest.raises(ValueError, match=pattern):
        diffusion_score(zeros, PROCESS, torch.zeros(1, 2), **options)


@pytest.mark.parametrize('shape', [(4,), (1, 2, 3)])
def test_refuses_what_is_neither_features_nor_maps(shape):
    with pytest.raises(ValueError, match=r'\(N, C\) or \(B, C, H, W\), got'):
        diffusion_score(zeros, PROCESS, torch.zeros(shape))


@pytest.mark.parametrize('kind', KINDS)
def test_refuses_a_denoiser_of_another_shape(kind):
    def narrow(x_t, t):
        return x_t[:, :1]

    with pytest.raises(ValueError, match=r'\(2, 1\)'):
        diffusion_score(narrow, PROCESS, torch.zeros(2, 3), kind=kind)
