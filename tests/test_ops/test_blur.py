"""Kernels and the separable filter against scipy.ndimage and numpy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from helpers import assert_near
from mmood.ops import (
    apply_separable,
    filter_matrix,
    gaussian_blur2d,
    gaussian_kernel1d,
)

SIZES = [(1, 1), (1, 7), (5, 1), (2, 3), (9, 6)]


def scipy_blur(x, kernel):
    """x (B, C, H, W) filtered by scipy, edge values go on."""
    for axis in (2, 3):
        x = ndimage.correlate1d(x, kernel, axis=axis, mode='nearest')
    return x


def variance(kernel):
    taps = np.arange(len(kernel)) - len(kernel) // 2
    return float((np.asarray(kernel) * taps**2).sum())


@pytest.mark.parametrize('sigma', [0.3, 1.0, 4.0])
@pytest.mark.parametrize('size', [1, 3, 5, 9])
def test_kernel_is_a_normalised_gaussian(sigma, size):
    taps = np.arange(size) - size // 2
    expected = np.exp(-0.5 * (taps / sigma) ** 2)
    expected /= expected.sum()
    kernel = gaussian_kernel1d(sigma, size)
    assert kernel.dtype == torch.float64
    np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize('sigma', [0, -0.5, float('nan')])
def test_kernel_refuses_a_sigma_that_is_not_positive(sigma):
    with pytest.raises(ValueError, match=f'sigma .*got {sigma}'):
        gaussian_kernel1d(sigma)
    with pytest.raises(ValueError, match=f'sigma .*got {sigma}'):
        gaussian_blur2d(torch.zeros(1, 1, 3, 3), sigma)


@pytest.mark.parametrize('size', [0, -1, 4])
def test_kernel_refuses_sizes_without_a_centre(size):
    with pytest.raises(ValueError, match=f'kernel_size .*got {size}'):
        gaussian_kernel1d(1.0, size)


@pytest.mark.parametrize('shape', [(4, 4), (1, 4, 4), (1, 1, 1, 4, 4)])
def test_blur_refuses_what_is_not_four_dimensional(shape):
    with pytest.raises(ValueError, match=str(shape)[1:-1]):
        gaussian_blur2d(torch.zeros(shape), 1.0)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('kernel_size', [1, 5, 11])
def test_blur_matches_scipy(size, kernel_size):
    x = torch.randn(2, 3, *size)
    kernel = gaussian_kernel1d(0.9, kernel_size)
    expected = scipy_blur(x.double().numpy(), kernel.numpy())
    blurred = gaussian_blur2d(x, 0.9, kernel_size)
    assert blurred.dtype == x.dtype
    np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-5)


def test_asymmetric_kernel_is_correlated_like_scipy():
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64)
    kernel = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    expected = scipy_blur(x.numpy(), kernel.numpy())
    result = apply_separable(
        x, filter_matrix(kernel, 6), filter_matrix(kernel, 5)
    ).numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-9)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('sigma', [0.1, 0.8, 5.0])
def test_constant_map_stays_constant(size, sigma):
    x = torch.full((1, 2, *size), -3.25)
    x[:, 1] = 7.5
    torch.testing.assert_close(gaussian_blur2d(x, sigma), x, rtol=1e-5, atol=0)


def test_vanishing_sigma_is_the_identity():
    x = torch.randn(2, 3, 5, 4)
    assert_near(gaussian_blur2d(x, 1e-3), x)


def test_one_tap_is_the_identity():
    x = torch.randn(1, 1, 2, 2)
    blurred = gaussian_blur2d(x, 1.0, kernel_size=1)
    assert_near(blurred, x)


@pytest.mark.parametrize('shape', [(0, 3, 4, 4), (2, 0, 4, 4), (1, 3, 0, 4)])
def test_empty_maps_stay_empty_and_pass_a_gradient(shape):
    x = torch.zeros(shape, requires_grad=True)
    blurred = gaussian_blur2d(x, 1.0)
    assert blurred.shape == shape
    blurred.sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize('size', [(1, 1), (1, 3), (3, 2)])
def test_gradient_is_the_numerical_one(size):
    x = torch.randn(1, 2, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: gaussian_blur2d(v, 0.7), x)


@pytest.mark.parametrize('size', [1, 2, 7, 30])
def test_filter_matrix_matches_scipy_column_by_column(size):
    kernel = np.array([0.1, 0.1, 0.2, 0.2, 0.4])  # asymmetric on purpose
    matrix = filter_matrix(torch.tensor(kernel), size).numpy()
    expected = ndimage.correlate1d(
        np.eye(size), kernel, axis=0, mode='nearest'
    )
    np.testing.assert_allclose(matrix, expected, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-9)


def test_products_of_matrices_are_numpys_convolution():
    first, second = (gaussian_kernel1d(s).numpy() for s in (0.8, 1.1))
    matrices = [filter_matrix(torch.tensor(k), 41) for k in (first, second)]
    row = (matrices[0] @ matrices[1])[20].numpy()
    np.testing.assert_allclose(row[16:25], np.convolve(first, second))
    assert row[:16].sum() + row[25:].sum() == 0
    total = variance(first) + variance(second)
    assert variance(row) == pytest.approx(total, rel=1e-9)
