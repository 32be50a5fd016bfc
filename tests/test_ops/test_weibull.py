"""Weibull densities against scipy's."""

import numpy as np
import pytest
import torch
from scipy.stats import weibull_min

from mmood.ops import (
    Weibull,
    fit_weibull,
    log_weibull_density,
    weibull_cdf,
)


@pytest.mark.parametrize('shape', [0.6, 1.0, 3.5, 60.0])
@pytest.mark.parametrize('scale', [1e-3, 4.0, 1e4])
def test_fit_is_that_of_scipy(shape, scale):
    values = weibull_min.rvs(shape, -7, scale, size=300, random_state=0)
    found = fit_weibull(values, -7)
    # In the unit of the scale, where scipy's search does well.
    c, _, s = weibull_min.fit((values + 7) / scale, floc=0)
    assert found.shape == pytest.approx(c, rel=1e-3)
    assert found.scale == pytest.approx(s * scale, rel=1e-3)
    assert found.shift == -7


def test_fit_of_two_values_has_the_slope_zero():
    """Where the closed form of the likelihood's derivative vanishes."""
    z = np.array([1.0, 2.0])
    found = fit_weibull(z + 5, 5)
    c, weights = found.shape, z**found.shape
    expected = (weights * np.log(z)).sum() / weights.sum() - np.log(z).mean()
    assert 1 / c == pytest.approx(expected)
    assert found.scale**c == pytest.approx(weights.mean())


@pytest.mark.parametrize('values', [[], [3.0], [3.0, 3.0], [0.0, 1.0]])
def test_fit_needs_two_different_values_above_the_shift(values):
    with pytest.raises(ValueError, match='two different values.*shift=0'):
        fit_weibull(np.array(values), 0)


def test_log_density_is_that_of_scipy():
    x = torch.linspace(-1.5, 6, 50, dtype=torch.float64)
    found = log_weibull_density(x, Weibull(2.5, 3.0, -2.0))
    expected = weibull_min.logpdf(x.numpy(), 2.5, -2, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_log_density_stays_finite():
    density = Weibull(2.5, 3.0, -2.0)
    x = torch.tensor([-100.0, -2.0, 1e38])
    found = log_weibull_density(x, density)
    np.testing.assert_allclose(found, -1e30, rtol=1e-5)
    assert log_weibull_density(x[:0], density).shape == (0,)


def test_distribution_is_that_of_scipy():
    x = torch.linspace(-3, 6, 50, dtype=torch.float64)[:, None]
    shape, scale, shift = (
        torch.tensor(v, dtype=torch.float64)
        for v in ([2.5, 30.0], [3.0, 0.5], [-2.0, 1.0])
    )
    found = weibull_cdf(x, shape, scale, shift)
    expected = weibull_min.cdf(x.numpy(), shape, shift, scale)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[0].tolist() == [0, 0] and found[-1, 1] == 1
    never = weibull_cdf(x, shape, torch.full((2,), torch.inf), shift)
    assert not never.any()


def test_small_probabilities_keep_their_digits():
    one = torch.ones((), dtype=torch.float64)
    x = torch.tensor([1e-20], dtype=torch.float64)
    assert weibull_cdf(x, one, one, 0 * one) == pytest.approx(1e-20)
