"""log I_v against scipy, mpmath and closed forms."""

import math

import numpy as np
import pytest
import scipy.special
import torch

from helpers import assert_near
from mmood.ops import log_bessel_i, log_scaled_bessel_i

ORDERS = [0, 0.5, 1, 3, 7, 7.5, 8, 15, 15.5, 16, 31, 63, 255, 511]
X = np.logspace(-3, 5, 33)


def close(found, expected, tolerance=1e-12):
    """Relative, or absolute where the value is below 1."""
    np.testing.assert_allclose(found, expected, tolerance, tolerance)


def at(function, order, x=X, dtype=torch.float64):
    """Values and derivatives."""
    x = torch.tensor(x, dtype=dtype, requires_grad=True)
    values = function(order, x)
    (grad,) = torch.autograd.grad(values.sum(), x)
    return values.detach().numpy(), grad.numpy()


@pytest.mark.parametrize('order', ORDERS)
def test_scipy(order):
    """Where its values have not underflowed."""
    low, high = scipy.special.ive([[order], [order + 1]], X)
    good = high > 1e-290
    values, grad = at(log_bessel_i, order)
    assert good.sum() > 8
    close(values[good], (np.log(low) + X)[good], 1e-11)
    close(grad[good], (high / low + order / X)[good], 1e-11)


@pytest.mark.parametrize('order', ORDERS)
def test_mpmath(order):
    mpmath = pytest.importorskip('mpmath')
    values, grad = at(log_bessel_i, order)
    scaled, scaled_grad = at(log_scaled_bessel_i, order)
    with mpmath.workdps(40):
        low = [mpmath.besseli(order, x) for x in X]
        ratio = [mpmath.besseli(order + 1, x) / i for x, i in zip(X, low)]
        power = [order * mpmath.log(x) for x in X]
        logs = [mpmath.log(i) for i in low]
        scaled_logs = [log - p for log, p in zip(logs, power)]
        slope = [r + order / mpmath.mpf(x) for x, r in zip(X, ratio)]
    for found, expected in (
        (values, logs),
        (grad, slope),
        (scaled, scaled_logs),
        (scaled_grad, ratio),
    ):
        close(found, np.array(expected, dtype=float), 1e-13)


def test_half_an_odd_order_is_elementary():
    """``I_{1/2} = sqrt(2 / (pi x)) sinh x``; and I_{3/2}, at large x."""
    values, grad = at(log_bessel_i, 0.5)
    log_sinh = X + np.log(-np.expm1(-2 * X)) - math.log(2)
    close(values, 0.5 * np.log(2 / (math.pi * X)) + log_sinh)
    close(grad, 1 / np.tanh(X) - 0.5 / X, 1e-11)
    x = X[X > 50]
    large = x - 0.5 * np.log(2 * math.pi * x)
    close(at(log_bessel_i, 1.5, x)[0], large + np.log1p(-1 / x))


@pytest.mark.parametrize('order', [0, 0.5, 7, 31])
def test_at_zero(order):
    values, grad = at(log_scaled_bessel_i, order, [0.0])
    close(values, -order * math.log(2) - scipy.special.gammaln(order + 1))
    assert grad == 0
    values, grad = at(log_bessel_i, order, [0.0])
    if order:
        assert values == -math.inf and grad == math.inf
    else:
        close(values, 0)
        assert grad == 0


@pytest.mark.parametrize('function', [log_bessel_i, log_scaled_bessel_i])
@pytest.mark.parametrize('order', [0, 1, 31])
def test_outside_of_the_domain(function, order):
    x = torch.tensor([-1.0, math.nan, 2.0])
    assert function(order, x).isnan().tolist() == [True, True, False]
    assert function(order, torch.zeros(0, 3)).shape == (0, 3)
    for bad in (-0.5, math.nan):
        with pytest.raises(ValueError, match=f'at least 0, got {bad}'):
            function(bad, x)


@pytest.mark.parametrize('function', [log_bessel_i, log_scaled_bessel_i])
@pytest.mark.parametrize('order', [0, 7.5, 16, 31])
def test_derivatives(function, order):
    x = torch.tensor([0.3, 5.0, 16.0, 300.0], dtype=torch.float64)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(order, x), x)
    assert torch.autograd.gradgradcheck(lambda x: function(order, x), x)


@pytest.mark.parametrize(
    ('dtype', 'result'),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
@pytest.mark.parametrize('function', [log_bessel_i, log_scaled_bessel_i])
def test_dtypes(function, dtype, result):
    x = torch.tensor([[0.5, 2.0], [40.0, 256.0]], dtype=dtype)
    expected = function(31, x.double())
    with torch.autocast('cpu', torch.bfloat16):
        found = function(31, x)
    assert found.dtype == result
    assert_near(found, expected.to(result), rtol=1e-5)
