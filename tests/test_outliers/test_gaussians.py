"""Tied Gaussians and their least likely samples.

Against scipy, sklearn, the direct draw, and closed forms.
"""

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.distributions import MultivariateNormal

from helpers import assert_near
from mmood.outliers import low_likelihood_samples, tied_gaussians


def features(classes, n, channels):
    mix = torch.randn(channels, channels)
    return torch.randn(classes, n, channels) @ mix + torch.randn(
        classes, 1, channels
    )


def covariance(scale_tril):
    factor = scale_tril.double().numpy()
    return factor @ factor.T


@pytest.mark.parametrize('shape', [(3, 40, 5), (1, 40, 5), (4, 6, 1)])
def test_mean_and_covariance_are_sklearn_s(shape):
    x = features(*shape)
    means, scale_tril = tied_gaussians(x)
    lda = LinearDiscriminantAnalysis(solver='lsqr', store_covariance=True)
    flat = x.double().numpy().reshape(-1, shape[2])
    labels = np.repeat(np.arange(shape[0]), shape[1])
    if shape[0] == 1:  # sklearn wants two; far apart they change nothing
        flat = np.concatenate([flat, flat + 1])
        labels = np.concatenate([labels, labels + 1])
    lda.fit(flat, labels)
    np.testing.assert_allclose(means, lda.means_[: shape[0]], atol=1e-5)
    expected = lda.covariance_ + 1e-4 * np.eye(shape[2])
    np.testing.assert_allclose(covariance(scale_tril), expected, rtol=1e-4)
    assert torch.equal(scale_tril, scale_tril.tril())


def test_double_stays_and_half_is_raised():
    x = features(2, 30, 4)
    assert tied_gaussians(x.double())[1].dtype == torch.float64
    means, scale_tril = tied_gaussians(x.half())
    assert means.dtype == scale_tril.dtype == torch.float32


def test_autocast_changes_nothing():
    x = features(2, 30, 4)
    plain = tied_gaussians(x)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        for mine, other in zip(tied_gaussians(x), plain):
            assert_near(mine, other)


@pytest.mark.parametrize('shrinkage', [0.25, 1.0])
def test_shrinkage_goes_to_a_sphere(shrinkage):
    x = features(3, 40, 5)
    bare = covariance(tied_gaussians(x, jitter=1e-6)[1])
    found = covariance(tied_gaussians(x, jitter=1e-6, shrinkage=shrinkage)[1])
    sphere = np.trace(bare) / 5 * np.eye(5)
    expected = (1 - shrinkage) * bare + shrinkage * sphere
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize('n', [1, 4])
def test_fewer_samples_than_channels(n):
    """Without spread the jitter alone is the covariance."""
    x = features(2, n, 64)
    _, scale_tril = tied_gaussians(x)
    values = np.linalg.eigvalsh(covariance(scale_tril))
    rank = 2 * (n - 1)
    np.testing.assert_allclose(values[: 64 - rank], 1e-4, atol=9e-5)
    assert (values[64 - rank :] > 0.1).all()
    outliers = low_likelihood_samples(*tied_gaussians(x), 100)
    assert torch.isfinite(outliers).all()


def test_the_jitter_grows_until_rounding_is_harmless():
    """Upstream's covariance of such features has no Cholesky factor."""
    x = 1e3 * features(2, 8, 64)
    centred = (x - x.mean(1, keepdim=True)).flatten(0, 1)
    sigma = centred.T @ centred / 16
    _, info = torch.linalg.cholesky_ex(sigma + 1e-4 * torch.eye(64))
    assert info > 0
    _, scale_tril = tied_gaussians(x)
    scale = sigma.abs().max().item()
    gap = abs(covariance(scale_tril) - sigma.numpy()).max()
    assert gap < 1e-5 * scale


def test_no_features_and_features_beyond_help():
    with pytest.raises(ValueError, match=r'\(2, 0, 4\) have no Gaussian'):
        tied_gaussians(torch.zeros(2, 0, 4))
    for wrong in (float('nan'), 1e25):
        x = features(2, 9, 4)
        x[0, 0] *= wrong
        with pytest.raises(ValueError, match='no Cholesky factor.*jitter of'):
            tied_gaussians(x)


CHANNELS, CANDIDATES = 3, 50


def unit_gaussians(classes):
    """So many classes that each is a draw of its own."""
    means = 5 * torch.randn(classes, CHANNELS)
    lower = torch.tensor([[2.0, 0, 0], [0.5, 1, 0], [-1.0, 0.3, 0.2]])
    return means, lower


def whitened(samples, means, scale_tril, select=1):
    """L^-1 (x - mu), (K, select, C)."""
    offset = samples.view(len(means), select, -1) - means[:, None]
    solved = np.linalg.solve(
        scale_tril.double().numpy(),
        offset.double().numpy().reshape(-1, CHANNELS).T,
    )
    return solved.T.reshape(offset.shape)


def chi2_of_order(x, order, n=CANDIDATES):
    """CDF of the order-th largest of n chi^2 draws."""
    below = scipy.stats.chi2.cdf(x, CHANNELS)
    return scipy.stats.binom.cdf(order - 1, n, 1 - below)


def direct(means, scale_tril, select):
    """As VOS draws: all candidates, their densities, the least of these."""
    normal = MultivariateNormal(means, scale_tril=scale_tril)
    candidates = normal.sample((CANDIDATES,))
    inds = (-normal.log_prob(candidates)).topk(select, dim=0).indices
    picked = candidates.gather(0, inds[..., None].expand(-1, -1, CHANNELS))
    return picked.movedim(0, 1).flatten(0, 1)


@pytest.mark.parametrize('select', [1, 3])
def test_radii_are_those_of_the_direct_draw_and_of_the_closed_form(select):
    gaussians = unit_gaussians(3000)
    fast = low_likelihood_samples(*gaussians, CANDIDATES, select)
    slow = direct(*gaussians, select)
    radii = [
        np.square(whitened(x, *gaussians, select)).sum(2) for x in (fast, slow)
    ]
    for i in range(select):
        mine, other = (r[:, i] for r in radii)
        assert scipy.stats.ks_2samp(mine, other).pvalue > 0.01
        exact = scipy.stats.kstest(mine, chi2_of_order, (i + 1,))
        assert exact.pvalue > 0.01
        # And the test sees a difference of one candidate in ten.
        wrong = scipy.stats.kstest(mine, chi2_of_order, (i + 1, 45))
        assert wrong.pvalue < 1e-3
    assert (np.diff(radii[0], axis=1) <= 1e-4).all()


def test_the_maximum_in_many_channels():
    """F_chi2(r)^n, as the head uses it: 10,000 of 1024 channels."""
    means, scale_tril = torch.zeros(200, 1024), torch.eye(1024)
    samples = low_likelihood_samples(means, scale_tril)
    radii = samples.double().square().sum(1).numpy()

    def cdf(x):
        return np.exp(10000 * scipy.stats.chi2.logcdf(x, 1024))

    assert scipy.stats.kstest(radii, cdf).pvalue > 0.01


def test_directions_are_uniform_and_independent_of_the_radius():
    gaussians = unit_gaussians(4000)
    samples = low_likelihood_samples(*gaussians, CANDIDATES)
    noise = whitened(samples, *gaussians)[:, 0]
    radius = np.linalg.norm(noise, axis=1, keepdims=True)
    u = noise / radius
    error = 4 / np.sqrt(len(u))
    np.testing.assert_allclose(u.mean(0), 0, atol=error)
    np.testing.assert_allclose(u.T @ u / len(u), np.eye(3) / 3, atol=error)
    for channel in u.T:  # Archimedes: uniform on [-1, 1] in 3 dimensions
        assert scipy.stats.kstest(channel, 'uniform', (-1, 2)).pvalue > 0.01
        correlation = scipy.stats.spearmanr(channel, radius[:, 0])
        assert correlation.pvalue > 0.01
        spread = scipy.stats.spearmanr(abs(channel), radius[:, 0])
        assert spread.pvalue > 0.01


def test_each_class_has_its_own_mean_and_place():
    means = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    samples = low_likelihood_samples(means, torch.eye(2), 1000, 4)
    assert samples.shape == (12, 2)
    gaps = torch.cdist(samples, means).view(3, 4, 3)
    assert (gaps.argmin(2) == torch.arange(3)[:, None]).all()


def test_one_candidate_is_a_plain_draw():
    means, lower = unit_gaussians(1)
    samples = low_likelihood_samples(means.expand(4000, -1), lower, 1)
    expected = covariance(lower)
    np.testing.assert_allclose(np.cov(samples.T), expected, atol=0.3)
    np.testing.assert_allclose(samples.mean(0), means[0], atol=0.15)


def test_a_generator_repeats_the_draw():
    gaussians = unit_gaussians(2)
    first, second = (
        low_likelihood_samples(
            *gaussians, generator=torch.Generator().manual_seed(5)
        )
        for _ in range(2)
    )
    assert_near(first, second)
    assert not torch.equal(low_likelihood_samples(*gaussians), first)


def test_no_class_has_no_sample():
    samples = low_likelihood_samples(torch.zeros(0, 3), torch.eye(3))
    assert samples.shape == (0, 3)
