"""Gaussian mixtures against scipy, sklearn and plain loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from mmood.ops import (
    evenly_spread,
    log_gaussians,
    moments_of_directions,
    sinkhorn,
    sinkhorn_assignment,
)

K, M, D = 3, 2, 6


def mixtures(dtype=torch.float64):
    means = F.normalize(torch.randn(K, M, D, dtype=dtype), dim=-1)
    return means, 0.1 + torch.rand(K, M, D, dtype=dtype)


def directions(*shape, dtype=torch.float64):
    return F.normalize(torch.randn(*shape, dtype=dtype), dim=-1)


@pytest.mark.parametrize('shape', [(0,), (5,), (2, 3, 4)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_log_densities_are_scipys(shape, dtype):
    means, deviations = mixtures(dtype)
    rows = directions(*shape, D, dtype=dtype)
    found = log_gaussians(rows.movedim(-1, 1), means, deviations)
    assert found.shape == (shape[0], K, M, *shape[1:]) and found.dtype == dtype
    for k in range(K):
        for m in range(M):
            covariance = deviations[k, m].double().square().diag().numpy()
            reference = multivariate_normal(means[k, m].numpy(), covariance)
            expected = reference.logpdf(rows.double().numpy().reshape(-1, D))
            close = 1e-10 if dtype == torch.float64 else 2e-3
            np.testing.assert_allclose(
                found[:, k, m].numpy().ravel(), expected, rtol=0, atol=close
            )


def test_the_gradient_leads_to_the_mean():
    """That of a log density is ``(mu - x) / sigma^2``."""
    means, deviations = mixtures()
    x = directions(4, D).requires_grad_()
    log_gaussians(x, means, deviations)[:, 1, 0].sum().backward()
    expected = (means[1, 0] - x.detach()) / deviations[1, 0].square()
    torch.testing.assert_close(x.grad, expected)


def test_shapes_that_do_not_fit_are_named():
    means, deviations = mixtures()
    with pytest.raises(ValueError, match=r'\(K, M, D\).*\(3, 2, 5\)'):
        log_gaussians(torch.zeros(2, D), means, deviations[..., :5])
    with pytest.raises(ValueError, match=r'\(N, 6, \*\), got \(2, 5\)'):
        log_gaussians(torch.zeros(2, 5), means, deviations)


def plan_of_a_class(scores, rounds, epsilon):
    """One class alone, as a loop over rounds."""
    plan = np.exp(scores / np.abs(scores).max() / epsilon)
    for _ in range(rounds):
        plan /= plan.sum(0, keepdims=True)
        plan /= plan.sum(1, keepdims=True)
    return plan


@pytest.mark.parametrize('rounds', [1, 3])
def test_the_plan_of_each_class_is_its_own(rounds):
    scores, labels = 30 * torch.randn(40, 4), torch.randint(3, (40,))
    labels[labels == 1] = 2  # a class without a sample
    plan = sinkhorn(scores, labels, 3, rounds=rounds, epsilon=0.05)
    for k in (0, 2):
        own = scores[labels == k].double().numpy()
        expected = plan_of_a_class(own, rounds, 0.05)
        np.testing.assert_allclose(plan[labels == k], expected, rtol=1e-9)
    said = sinkhorn_assignment(scores, labels, 3, rounds=rounds)
    assert torch.equal(said, plan.argmax(1))


def test_rows_sum_to_one_and_columns_to_the_same():
    scores, labels = torch.randn(60, 5), torch.arange(60) % 2
    plan = sinkhorn(scores, labels, 2, rounds=200, epsilon=0.5)
    torch.testing.assert_close(plan.sum(1), torch.ones(60).double())
    for k in range(2):
        columns = plan[labels == k].sum(0)
        torch.testing.assert_close(columns, torch.full_like(columns, 30 / 5))


def test_no_component_takes_all_samples():
    """One is likelier for all of them, in one of two groups by more."""
    scores = torch.tensor([[5.0, 1.0]] * 6 + [[5.0, 4.0]] * 6)
    assert (scores.argmax(1) == 0).all()
    found = sinkhorn_assignment(scores, torch.zeros(12).long(), 1)
    assert found.tolist() == [0] * 6 + [1] * 6


def test_nothing_is_assigned_without_samples():
    found = sinkhorn_assignment(torch.empty(0, 3), torch.empty(0).long(), 2)
    assert found.shape == (0,)
    zeros = sinkhorn_assignment(torch.zeros(2, 3), torch.zeros(2).long(), 2)
    assert zeros.shape == (2,)


@pytest.mark.parametrize('options', [dict(rounds=0), dict(epsilon=0.0)])
def test_sinkhorn_refuses_no_rounds_and_no_entropy(options):
    with pytest.raises(ValueError, match='rounds must be at least 1'):
        sinkhorn_assignment(
            torch.zeros(2, 3), torch.zeros(2).long(), 2, **options
        )


@pytest.mark.parametrize('most', [1, 3, 100])
def test_the_chosen_are_evenly_spread_over_sorted_values(most):
    groups, values = torch.randint(3, (50,)), torch.rand(50)
    groups[groups == 1] = 2
    chosen = evenly_spread(values, groups, most)
    for k in range(3):
        own = np.sort(values[groups == k].numpy())
        count = min(most, len(own))
        expected = own[-(-np.arange(count) * len(own) // max(count, 1))]
        found = values[chosen[groups[chosen] == k]].numpy()
        np.testing.assert_array_equal(found, expected)


def test_the_choice_does_not_depend_on_the_order():
    groups, values, order = (
        torch.randint(3, (50,)),
        torch.rand(50),
        torch.randperm(50),
    )
    one = evenly_spread(values, groups, 4)
    other = evenly_spread(values[order], groups[order], 4)
    assert torch.equal(values[one], values[order][other])
    assert len(evenly_spread(values[:0], groups[:0], 4)) == 0


def test_moments_of_a_full_queue_are_an_m_step():
    """sklearn's, but for the mean's length, around which the spread is."""
    x = directions(200, D) * 0.3 + directions(D)
    x = F.normalize(x, dim=1)
    mean, spread = moments_of_directions(x, 200)
    reference = GaussianMixture(1, covariance_type='diag', reg_covar=1e-2)
    reference.fit(x.numpy())
    own = torch.from_numpy(reference.means_[0])
    torch.testing.assert_close(mean, F.normalize(own, dim=0))
    variance = torch.from_numpy(reference.covariances_[0])
    expected = (variance + (own - mean).square()).sqrt()
    torch.testing.assert_close(spread, expected)


def test_free_places_count_as_random_directions():
    """Within the error of 40,000 of them."""
    x = F.normalize(directions(900, D) * 0.2 + directions(D), dim=1)
    mean, spread = moments_of_directions(x, 40_900)
    both = torch.cat([x, directions(40_000, D)])
    expected = ((both - mean).square().mean(0) + 1e-2).sqrt()
    torch.testing.assert_close(spread, expected, rtol=0.02, atol=0)
    torch.testing.assert_close(mean, moments_of_directions(x, 900)[0])


def test_an_empty_queue_has_the_spread_of_random_directions():
    mean, spread = moments_of_directions(torch.empty(0, D), 10)
    assert not mean.any()
    torch.testing.assert_close(
        spread, torch.full((D,), (1 / D + 1e-2) ** 0.5).double()
    )
