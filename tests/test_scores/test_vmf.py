"""Von Mises-Fisher densities against integrals and scipy."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
import torch.nn.functional as F

from helpers import assert_near
from mmood.scores.vmf import log_vmf_density, log_vmf_normalizer, vmf_score

KAPPA = [0.0, 1e-4, 0.3, 10.0, 400.0]


def unit(*shape, dim=1):
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=dim)


def log_area(dim):
    """Of the unit sphere in ``dim`` dimensions."""
    half = dim / 2
    return math.log(2) + half * math.log(math.pi) - math.lgamma(half)


def by_scipy(z, prototypes, kappa):
    """Log densities (N, K) of unit rows."""
    return np.stack(
        [
            scipy.stats.vonmises_fisher(mu, float(k)).logpdf(z.numpy())
            for mu, k in zip(prototypes.numpy(), kappa)
        ],
        1,
    )


@pytest.mark.parametrize('kappa', KAPPA)
def test_density_integrates_to_one_on_the_circle(kappa):
    angle = torch.linspace(0, 2 * math.pi, 2001, dtype=torch.float64)[:-1]
    z = torch.stack([angle.cos(), angle.sin()], 1)
    density = log_vmf_density(z, unit(1, 2), torch.tensor([kappa])).exp()
    assert density.mean().item() * 2 * math.pi == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize('dim', [3, 4, 64])
@pytest.mark.parametrize('kappa', KAPPA)
def test_density_integrates_to_one_on_spheres(kappa, dim):
    """By ``t = mu.z``: area of the slices times the density there."""
    constant = log_vmf_normalizer(
        torch.tensor(kappa, dtype=torch.float64), dim
    )
    slices = constant.item() + log_area(dim - 1)

    def density(t):
        power = (dim - 3) / 2 * math.log1p(-t * t)
        return math.exp(slices + kappa * t + power)

    edge = 1 - 1e-12
    points = [1 - 1 / max(kappa, 1), 0.5]
    whole = scipy.integrate.quad(density, -edge, edge, points=points)[0]
    assert whole == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize('dim', [2, 3, 16, 64, 1024])
def test_normalizer_at_zero_is_the_uniform_density(dim):
    kappa = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    value = log_vmf_normalizer(kappa, dim)
    np.testing.assert_allclose(value.tolist(), -log_area(dim), rtol=1e-9)
    value.sum().backward()
    assert kappa.grad.tolist() == [0, 0]


@pytest.mark.parametrize('dim', [2, 3, 64, 256])
def test_normalizer_and_its_derivative(dim):
    """Minus the mean resultant length, by scipy's Bessel functions."""
    kappa = torch.tensor([5.0, 40.0, 3e3], dtype=torch.float64)
    kappa.requires_grad_()
    value = log_vmf_normalizer(kappa, dim)
    value.sum().backward()
    k, v = kappa.detach().numpy(), dim / 2 - 1
    low, high = scipy.special.ive([[v], [v + 1]], k)
    expected = v * np.log(k) - dim / 2 * math.log(2 * math.pi)
    expected -= np.log(low) + k
    np.testing.assert_allclose(value.tolist(), expected, rtol=1e-9)
    np.testing.assert_allclose(kappa.grad, -high / low, rtol=1e-9)


@pytest.mark.parametrize('dim', [1, 0, -3])
def test_no_sphere_below_two_dimensions(dim):
    with pytest.raises(ValueError, match=f'at least 2, got {dim}'):
        log_vmf_normalizer(torch.ones(1), dim)


@pytest.mark.parametrize('dim', [3, 16, 64])
@pytest.mark.parametrize('classes', [1, 5])
def test_score_is_the_largest_log_density_of_scipy(dim, classes):
    z, prototypes = unit(20, dim), unit(classes, dim)
    kappa = torch.rand(classes, dtype=torch.float64) * 60 + 1
    expected = by_scipy(z, prototypes, kappa)
    found = log_vmf_density(3 * z, prototypes, kappa)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    score = vmf_score(3 * z, prototypes, kappa)
    np.testing.assert_allclose(score, -expected.max(1), rtol=1e-10)
    single = vmf_score(z.float(), prototypes.float(), kappa.float())
    np.testing.assert_allclose(single, -expected.max(1), atol=1e-4)


def test_higher_away_from_the_prototypes():
    prototypes = torch.eye(3)[:2]
    z = torch.tensor([[9.0, 0, 0], [1, 1, 0], [0, 0, 1], [-1, -1, 0]])
    score = vmf_score(z, prototypes, torch.tensor([10.0, 10.0]))
    assert score.tolist() == sorted(score.tolist())
    assert (score[-1] - score[0]).item() == pytest.approx(
        10 * (1 + math.sqrt(0.5)), rel=1e-5
    )


def test_maps_are_rows():
    z, prototypes = torch.randn(2, 8, 3, 5), unit(4, 8).float()
    kappa = torch.tensor([1.0, 5.0, 20.0, 0.0])
    rows = z.movedim(1, -1).reshape(-1, 8)
    expected = vmf_score(rows, prototypes, kappa).view(2, 3, 5)
    torch.testing.assert_close(vmf_score(z, prototypes, kappa), expected)
    last = vmf_score(z.movedim(1, -1), prototypes, kappa, dim=-1)
    torch.testing.assert_close(last, expected)
    density = log_vmf_density(z, prototypes, kappa)
    assert density.shape == (2, 4, 3, 5)
    torch.testing.assert_close(-density.amax(1), expected)


@pytest.mark.parametrize('shape', [(0, 8), (0, 8, 2, 2), (2, 8, 0, 3)])
def test_no_sample(shape):
    score = vmf_score(torch.zeros(shape), unit(4, 8), torch.ones(4))
    assert score.shape == shape[:1] + shape[2:]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast(dtype):
    z, prototypes = torch.randn(50, 8).to(dtype), unit(4, 8).float()
    kappa = torch.tensor([1.0, 5.0, 20.0, 90.0])
    expected = vmf_score(z.float(), prototypes, kappa)
    assert expected.dtype == torch.float32
    with torch.autocast('cpu', torch.bfloat16):
        assert_near(vmf_score(z, prototypes, kappa), expected)


@pytest.mark.parametrize(
    ('prototypes', 'kappa'), [((0, 8), 0), ((4, 7), 4), ((4, 8), 3), ((8,), 1)]
)
def test_shapes_that_do_not_fit(prototypes, kappa):
    with pytest.raises(ValueError, match=r'prototypes must be \(K, D\)'):
        vmf_score(torch.ones(2, 8), torch.ones(prototypes), torch.ones(kappa))
