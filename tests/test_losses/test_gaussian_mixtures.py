"""Mixtures that follow the pixels, against steps worked out by hand."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import multivariate_normal

from helpers import ROOT, run_script
from mixture_steps import OPTIONS, D, K, M, started, step, steps, train
from mmood.losses import GaussianMixtures
from mmood.ops import moments_of_directions, sinkhorn_assignment
from mmood.scores import Samples, ScoreSet

SCRIPT = ROOT / 'tests/test_losses/mixture_ranks.py'


def trained(count=4, **options):
    mixtures = started(**options)
    for batch in steps(count):
        step(mixtures, *batch)
    return mixtures


def score_set(mixtures):
    return ScoreSet(['gmmseg'], num_classes=K, channels=D, losses=[mixtures])


def assert_same_state(found, expected, **close):
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, msg=lambda m, n=name: f'{n}: {m}', **close
        )


def test_it_starts_with_unit_means_and_the_spread_of_directions():
    mixtures = GaussianMixtures(**OPTIONS)
    lengths = mixtures.means.norm(dim=2)
    torch.testing.assert_close(lengths, torch.ones(K, M))
    expected = torch.full((K, M, D), math.sqrt(1 / D + 1e-2))
    torch.testing.assert_close(mixtures.deviations, expected)
    assert not mixtures.seen.any() and mixtures.queues.memory.numel() == 0


def test_the_loss_is_a_cross_entropy_to_the_own_component():
    """Of labelled cells alone, over all components of all classes."""
    mixtures = trained().eval()
    ((x, labels),) = steps(1)
    before = {k: v.clone() for k, v in mixtures.state_dict().items()}
    loss, gradient = step(mixtures, x, labels)
    rows, own = x.movedim(1, -1)[labels < K], labels[labels < K]
    densities = mixtures(rows)  # (N, K, M)
    of_class = densities[torch.arange(len(own)), own]
    target = own * M + sinkhorn_assignment(of_class, own, K)
    expected = 0.01 * F.cross_entropy(densities.flatten(1), target)
    torch.testing.assert_close(loss, expected)
    ignored = gradient.movedim(1, -1)[labels == 255]
    assert not ignored.any() and gradient.any()
    assert_same_state(mixtures.state_dict(), before)  # in eval mode


def test_correct_cells_enter_the_queue_of_their_component_oldest_first():
    mixtures = started(max_enqueued=1000, queue_size=1000)
    held = [[] for _ in range(K * M)]
    for x, labels in steps(3):
        rows, own = x.movedim(1, -1)[labels < K], labels[labels < K]
        densities = mixtures(rows)
        of_class = densities[torch.arange(len(own)), own]
        assigned = sinkhorn_assignment(of_class, own, K)
        correct = densities.amax(2).argmax(1) == own
        for place in range(K * M):
            mine = correct & (own * M + assigned == place)
            order = of_class[mine, assigned[mine]].argsort()
            held[place] += rows[mine][order].tolist()
        step(mixtures, x, labels)
    assert mixtures.queues.counts.tolist() == [len(one) for one in held]
    for memory, expected in zip(mixtures.queues.memory, held):
        found = memory[: len(expected)].float()
        torch.testing.assert_close(
            found, torch.tensor(expected).view(-1, D), atol=1e-3, rtol=1e-3
        )


def test_no_step_enqueues_more_than_it_may():
    mixtures, before = started(), torch.zeros(K * M)
    for batch in steps(5):
        step(mixtures, *batch)
        added = mixtures.queues.seen - before
        assert (added <= 4).all() and added.any()
        before = mixtures.queues.seen.clone()
    assert mixtures.queues.memory.shape == (K * M, 12, D)
    assert mixtures.queues.memory.dtype == torch.float16


def test_the_m_step_comes_every_second_time_with_momentum():
    mixtures = started()
    for i, batch in enumerate(steps(4)):
        means, deviations = mixtures.means.clone(), mixtures.deviations.clone()
        step(mixtures, *batch)
        if i % 2:
            assert torch.equal(mixtures.means, means)
            assert torch.equal(mixtures.deviations, deviations)
            continue
        for k in range(K):
            for m in range(M):
                row = k * M + m
                count = mixtures.queues.counts[row]
                queue = mixtures.queues.memory[row, :count]
                mean, spread = moments_of_directions(queue, 12)
                moved = F.normalize((mean + means[k, m]) / 2, dim=0)
                if not count:
                    moved, spread = means[k, m], deviations[k, m]
                torch.testing.assert_close(mixtures.means[k, m], moved.float())
                torch.testing.assert_close(
                    mixtures.deviations[k, m], spread.float()
                )


def test_only_classes_of_the_step_are_fitted():
    mixtures = trained(2)
    before = mixtures.means.clone()
    for batch in steps(2, classes=2):
        step(mixtures, *batch)
    moved = (mixtures.means != before).any(2).any(1)
    assert moved.tolist() == [True, True, False]


def test_a_class_without_a_pixel_keeps_its_gaussians_and_never_counts():
    mixtures = started()
    before = {k: v.clone() for k, v in mixtures.state_dict().items()}
    for batch in steps(6, classes=2):
        step(mixtures, *batch)
    for name in ('means', 'deviations'):
        assert torch.equal(getattr(mixtures, name)[2], before[name][2])
    assert mixtures.seen.any(1).tolist() == [True, True, False]
    x = steps(1)[0][0]
    with pytest.warns(UserWarning, match=r'classes \[2\]'):
        found = score_set(mixtures)(Samples(features=x))['gmmseg']
    densities = mixtures(x)[:, :2]
    seen = mixtures.seen[:2, :, None, None]
    expected = -densities.masked_fill(~seen, -torch.inf).amax((1, 2))
    torch.testing.assert_close(found, expected)


def test_without_a_mixture_there_is_no_score():
    score = score_set(GaussianMixtures(**OPTIONS))
    with pytest.raises(RuntimeError, match='has no mixtures: train'):
        score(Samples(features=torch.zeros(2, D)))
    with pytest.raises(ValueError, match="type='mmood.GMMSegHead', of="):
        ScoreSet(['gmmseg'], num_classes=K, channels=D)


@pytest.mark.parametrize('shape', [(0,), (6,), (2, 3, 4)])
def test_the_score_is_scipys_density(shape):
    mixtures = trained(8)
    assert mixtures.seen.all()
    rows = F.normalize(torch.randn(*shape, D), dim=-1)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        samples = Samples(features=rows.movedim(-1, 1))
        found = score_set(mixtures)(samples)['gmmseg']
    assert found.shape == shape
    rows, best = rows.view(-1, D).numpy(), -np.inf
    for k in range(K):
        for m in range(M):
            covariance = np.diag(mixtures.deviations[k, m].double() ** 2)
            one = multivariate_normal(mixtures.means[k, m], covariance)
            best = np.maximum(best, one.logpdf(rows))
    np.testing.assert_allclose(found.numpy().ravel(), -best, atol=2e-3)


def test_a_far_direction_scores_higher_than_those_of_training():
    mixtures = trained(20)
    far = torch.eye(D)[-1:]
    near = steps(1)[0][0].movedim(1, -1).flatten(0, 2)
    score = score_set(mixtures)
    values = score(Samples(features=near))['gmmseg']
    assert score(Samples(features=far))['gmmseg'] > values.max()


def test_no_labelled_cell_at_all():
    mixtures = trained()
    ((x, labels),) = steps(1)
    before = {k: v.clone() for k, v in mixtures.state_dict().items()}
    loss, gradient = step(mixtures, x, torch.full_like(labels, 255))
    assert loss == 0 and not gradient.any()
    before['iteration'] += 1
    assert_same_state(mixtures.state_dict(), before)


def test_resumed_training_goes_on_as_if_it_had_not_stopped():
    state, batches = started().state_dict(), steps(6)
    state = {k: v.clone() for k, v in state.items()}
    whole = train(OPTIONS, state, batches)
    half = train(OPTIONS, state, batches[:3])
    rest = train(OPTIONS, half['state'], batches[3:])
    assert_same_state(rest['state'], whole['state'])
    for name in ('losses', 'gradients'):
        for found, expected in zip(rest[name], whole[name][3:]):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('cut', [0, 1, 2])
def test_two_processes_learn_what_one_learns(tmp_path, cut):
    """Also if one has no image."""
    state, batches = started().state_dict(), steps(4)
    parts = [
        [(x[:cut], labels[:cut]) for x, labels in batches],
        [(x[cut:], labels[cut:]) for x, labels in batches],
    ]
    torch.save((OPTIONS, state, parts), tmp_path / 'in')
    run_script(SCRIPT, tmp_path / 'in', tmp_path / 'out', ranks=2)
    one = train(OPTIONS, state, batches)
    ranks = [torch.load(tmp_path / f'out.{rank}') for rank in range(2)]
    for rank in ranks:
        assert_same_state(rank['state'], one['state'], atol=1e-3, rtol=1e-3)
        assert_same_state(ranks[0]['state'], rank['state'])
    for i, (loss, gradient) in enumerate(zip(one['losses'], one['gradients'])):
        mean = (ranks[0]['losses'][i] + ranks[1]['losses'][i]) / 2
        torch.testing.assert_close(mean, loss)
        both = [rank['gradients'][i] / 2 for rank in ranks]
        torch.testing.assert_close(torch.cat(both), gradient)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_components=0), 'num_components must be at least 1, got 0'),
        (dict(max_enqueued=0), 'max_enqueued must be at least 1'),
        (dict(interval=0), 'interval must be at least 1'),
        (dict(queue_size=0), 'size of the queues must be at least 1'),
        (dict(momentum=(1.5, 0.0)), r'momentum must be two .*\(1.5, 0.0\)'),
        (dict(momentum=(0.9,)), 'momentum must be two numbers'),
    ],
)
def test_what_it_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixtures(**{**OPTIONS, **options})


def test_values_that_are_not_finite_stop_the_training():
    mixtures = GaussianMixtures(**OPTIONS)
    ((x, labels),) = steps(1)
    densities = mixtures(x)
    x[:, 0] = torch.nan
    with pytest.raises(ValueError, match='nan or infinite'):
        mixtures.learn(x, densities, labels, labels)
