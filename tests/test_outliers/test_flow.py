"""FFS: the density by its definition, the flow against FrEIA's own."""

import math
import sys

import FrEIA.framework
import FrEIA.modules
import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.autograd.functional import jacobian

from batches import classify, known_batch
from helpers import assert_near
from mmood.outliers import FlowFeatureSynthesis
from mmood.registry import MODELS


def flow(channels=5, scale=2.0, **kwargs):
    """A flow in float64 that is far from the identity."""
    module = FlowFeatureSynthesis(channels, hidden=16, **kwargs).double()
    for parameter in module.parameters():
        parameter.data *= scale
    return module


def features(n, channels=5):
    x = torch.randn(n, channels, dtype=torch.double)
    return x.relu().requires_grad_()


def made(module, x):
    """Features of the outliers that count from the first step on."""
    return module(known_batch(x))[0].features


def loss_of(module, x):
    return module(known_batch(x))[1]['loss_flow']


@pytest.mark.parametrize('channels', [2, 3, 5, 6])
def test_log_prob_is_the_change_of_variables(channels):
    module, x = flow(channels), 2 * torch.randn(4, channels).double()
    expected = []
    for row in x:
        z = module.encode(row[None])[0][0].detach().numpy()
        jac = jacobian(lambda v: module.encode(v[None])[0][0], row)
        normal = multivariate_normal.logpdf(z, np.zeros(channels))
        expected.append(normal + np.linalg.slogdet(jac.numpy())[1])
    found = module.log_prob(x).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_density_integrates_to_one():
    axis = torch.arange(-20, 20, 0.1, dtype=torch.double)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = flow(2, scale=1.2).log_prob(grid).exp()
    assert (density.sum() * 0.1**2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize('channels', [2, 5])
def test_decode_inverts_encode(channels):
    module, x = flow(channels, num_blocks=3), torch.randn(7, channels).double()
    z, log_det = module.encode(x)
    back, log_det_back = module.decode(z)
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(log_det_back, log_det)


def test_is_the_authors_flow():
    """FrEIA's sequence of blocks and permutations with seeds 0 and 1."""
    module, x = flow(6), torch.randn(4, 6).double()

    def network(inputs, outputs):
        return torch.nn.Sequential(
            torch.nn.Linear(inputs, 16),
            torch.nn.ReLU(),
            torch.nn.Linear(16, outputs),
        )

    reference = FrEIA.framework.SequenceINN(6)
    for seed, block in enumerate(module.blocks):
        reference.append(
            FrEIA.modules.GLOWCouplingBlock,
            subnet_constructor=network,
            clamp=2.0,
        )
        reference.append(FrEIA.modules.PermuteRandom, seed=seed)
        reference[-2].load_state_dict(block.state_dict())
    for found, expected in zip(module.encode(x), reference.double()(x)):
        torch.testing.assert_close(found, expected)


def test_leaves_the_global_generator_of_numpy_alone():
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    FlowFeatureSynthesis(4)
    assert np.random.rand() == expected


def test_learns_the_density_of_a_gaussian():
    """Its mean -log p on new data exceeds the true one by KL, which falls."""
    mean = np.array([1.0, -2.0])
    cov = np.array([[4.0, 1.8], [1.8, 1.0]])
    factor = torch.from_numpy(np.linalg.cholesky(cov))

    def draw(n):
        noise = torch.randn(n, 2, dtype=torch.double)
        return torch.from_numpy(mean) + noise @ factor.T

    test = draw(4000)
    true = multivariate_normal.logpdf(test.numpy(), mean, cov).mean()
    entropy = math.log(2 * math.pi * math.e) + np.linalg.slogdet(cov)[1] / 2
    assert -true == pytest.approx(entropy, abs=0.1)
    module = flow(2, scale=1.0, loss_weight=1.0)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.03)

    def excess():
        with torch.no_grad():
            return true - module.log_prob(test).mean().item()

    assert excess() > 1
    for _ in range(100):
        optimizer.zero_grad()
        loss_of(module, draw(256)).backward()
        optimizer.step()
    assert -0.01 < excess() < 0.05


def test_loss_is_the_weighted_mean_and_stops_at_the_features():
    module, x = flow(loss_weight=0.5), features(6)
    loss = loss_of(module, x)
    expected = -0.5 * module.log_prob(x).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert x.grad is None
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())


def test_loss_of_no_features_is_zero_with_gradients():
    module = flow()
    outliers, losses = module(known_batch(features(0)))
    losses['loss_flow'].backward()
    assert losses['loss_flow'].item() == 0
    assert outliers.features.shape == (1, 5)
    assert all(p.grad.abs().sum() == 0 for p in module.parameters())


@pytest.mark.parametrize('n', [0, 6])
def test_not_active_gives_no_outliers(n):
    outliers, losses = flow(start_iter=1)(known_batch(features(n)))
    assert outliers is None
    assert (losses['loss_flow'].item() == 0) == (n == 0)


@pytest.mark.parametrize('number', [1, 3, 40])
def test_outliers_are_the_least_likely_candidates(number):
    module, x = flow(num_candidates=40, num_select=number), features(6)
    torch.manual_seed(1)
    z = torch.randn(40, 5, dtype=torch.double)
    with torch.no_grad():
        candidates = module.decode(z)[0]
        order = module.log_prob(candidates).argsort()
    torch.manual_seed(1)
    outliers, _ = module(known_batch(x))
    assert_near(outliers.features, candidates[order[:number]])
    assert not outliers.features.requires_grad
    logits = classify(outliers.features)[:, :3]
    torch.testing.assert_close(outliers.logits, logits)


def test_outliers_are_rarer_than_typical_samples():
    module, x = flow(num_candidates=200), features(6)
    with torch.no_grad():
        z = torch.randn(2000, 5, dtype=torch.double)
        typical = module.log_prob(module.decode(z)[0])
        outliers = torch.cat([made(module, x) for _ in range(20)])
        rare = module.log_prob(outliers)
    assert rare.max() < typical.quantile(0.1)


@pytest.mark.parametrize(('bad', 'left'), [(0, 3), (38, 2), (40, 0)])
def test_candidates_that_blew_up_are_dropped(monkeypatch, bad, left):
    module = flow(num_candidates=40, num_select=3)
    decode = module.decode

    def blow_up(z):
        x, log_det = decode(z)
        x[:bad:2, 1], x[1:bad:2] = math.inf, math.nan
        return x, log_det - torch.arange(40, 0, -1)  # the bad come first

    monkeypatch.setattr(module, 'decode', blow_up)
    if not left:
        assert module(known_batch(features(6)))[0] is None
        return
    outliers = made(module, features(6))
    assert outliers.shape == (left, 5)
    assert torch.isfinite(outliers).all()


def test_outliers_too_large_for_half_precision_are_dropped(monkeypatch):
    module = FlowFeatureSynthesis(5)
    monkeypatch.setattr(
        module, 'decode', lambda z: (1e6 * z.sign(), z.new_zeros(len(z)))
    )
    assert len(made(module, features(6).float())) == 1
    assert module(known_batch(features(6).half()))[0] is None


def test_state_round_trip():
    module, other, x = flow(), flow(), features(6)
    assert not torch.equal(module.log_prob(x), other.log_prob(x))
    other.orders.zero_()
    other.load_state_dict(module.state_dict())
    assert_near(module.log_prob(x), other.log_prob(x))
    assert sorted(module.orders[1].tolist()) == list(range(5))


@pytest.mark.parametrize(
    'options',
    [
        dict(channels=1),
        dict(channels=4, num_blocks=0),
        dict(channels=4, num_select=0),
        dict(channels=4, num_candidates=3, num_select=4),
    ],
)
def test_refuses_impossible_numbers(options):
    with pytest.raises(ValueError, match='got'):
        FlowFeatureSynthesis(**options)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'FrEIA.modules', None)
    with pytest.raises(ImportError, match=r"pip install 'mmood\[flow\]'"):
        FlowFeatureSynthesis(4)


def test_builds_from_a_config_with_the_published_sizes():
    cfg = dict(type='mmood.FlowFeatureSynthesis', channels=64)
    module = MODELS.build(cfg)
    assert isinstance(module, FlowFeatureSynthesis)
    shapes = [tuple(p.shape) for p in module.parameters() if p.dim() == 2]
    assert shapes == [(128, 32), (64, 128)] * 4
    assert (module.num_candidates, module.num_select) == (200, 1)
    assert module.loss_weight == 1e-4
