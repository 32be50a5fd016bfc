"""VirtualOutlierSynthesis: when it starts, what it draws, over ranks."""

import logging
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from mmengine.logging import MMLogger

from batches import classify, known_batch
from helpers import assert_near, run_script
from mmood.outliers import VirtualOutlierSynthesis, tied_gaussians
from mmood.registry import MODELS

OPTIONS = dict(num_classes=3, channels=4, queue_size=5, patience=2)
CENTRES = 50 * torch.eye(3, 4)


def synthesis(**kwargs):
    return VirtualOutlierSynthesis(**{**OPTIONS, **kwargs})


def batch(*counts):
    """Features around the classes' centres, so many of each."""
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels))]
    return CENTRES[labels] + torch.randn(len(labels), 4), labels


def made(module, features, labels, **more):
    """Features (M, 4) of the outliers."""
    outliers, losses = module(known_batch(features, labels, **more))
    assert losses == {}
    return features[:0] if outliers is None else outliers.features


def count(module, *counts):
    return len(made(module, *batch(*counts)))


@pytest.fixture
def lines(monkeypatch):
    """What the module logs, with the level."""
    found = []

    def keep(level):
        return lambda self, text, *_: found.append((level, text))

    for level in ('info', 'warning'):
        monkeypatch.setattr(MMLogger, level, keep(level))
    return found


def classes_of(outliers):
    return torch.cdist(outliers, CENTRES).argmin(1).tolist()


def test_no_outlier_before_all_queues_are_full():
    module = synthesis()
    for counts, total in (((3, 9, 5), 0), ((0, 0, 0), 0), ((2, 0, 0), 3)):
        outliers = made(module, *batch(*counts))
        assert outliers.shape == (total, 4)
    assert classes_of(outliers) == [0, 1, 2]


def test_no_outlier_before_the_start_though_queues_fill():
    module = synthesis(start_iter=4)
    for iteration in range(4):
        assert len(made(module, *batch(5, 5, 5), iteration=iteration)) == 0
    assert module.waited == 0
    assert len(made(module, *batch(0, 0, 0), iteration=4)) == 3


def test_outliers_are_the_least_likely_of_the_fitted_gaussians():
    """Their Mahalanobis distance is the maximum of chi^2 draws."""
    module = synthesis(queue_size=200, num_candidates=30, num_select=2)
    features, labels = batch(200, 200, 200)
    steps = [made(module, features, labels)]
    nothing = features[:0], labels[:0]
    steps += [made(module, *nothing) for _ in range(500)]
    outliers = torch.stack(steps).view(-1, 3, 2, 4).double()
    means, scale_tril = tied_gaussians(module.queues.memory)
    offset = outliers - means[:, None]
    white = np.linalg.solve(
        scale_tril.double().numpy(), offset.reshape(-1, 4).T.numpy()
    )
    radii = np.square(white).sum(0).reshape(-1, 2)

    def cdf(x):
        return scipy.stats.chi2.cdf(x, 4) ** 30

    assert scipy.stats.kstest(radii[:, 0], cdf).pvalue > 0.01
    assert (radii[:, 0] >= radii[:, 1]).all()


def test_one_class():
    module = synthesis(num_classes=1)
    features = torch.randn(5, 4)
    outliers = made(module, features, torch.zeros(5).long())
    assert outliers.shape == (1, 4) and torch.isfinite(outliers).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_outliers_have_the_features_type_and_no_gradient(dtype):
    features, labels = batch(5, 5, 5)
    features = features.to(dtype).requires_grad_()
    outliers, _ = synthesis()(known_batch(features, labels))
    made = outliers.features
    assert made.dtype == dtype and not made.requires_grad
    torch.testing.assert_close(outliers.logits, classify(made)[:, :3])
    assert not list(synthesis().parameters())


def test_a_rare_class_is_left_out_after_patience_and_reported(lines):
    module = synthesis()
    totals = [count(module, 5, 5, 1) for _ in range(4)]
    assert totals == [0, 0, 2, 2]
    outliers = made(module, *batch(0, 0, 1))  # its fifth sample
    assert classes_of(outliers) == [0, 1, 2]
    (level, text), (other_level, other) = lines
    assert (level, other_level) == ('warning', 'info')
    assert 'come from 2 of 3 classes: after 2 iterations' in text
    assert 'less than 5 samples, class (samples): 2 (3);' in text
    assert other.startswith('all classes are sampled')


def test_each_change_is_reported_once(lines):
    module = synthesis(patience=0)
    for counts, total in [
        ((1, 0, 0), 0), ((0, 1, 0), 0), ((4, 0, 0), 1), ((0, 0, 0), 1),
        ((0, 4, 2), 2), ((0, 0, 2), 2),
    ]:  # fmt: skip
        assert count(module, *counts) == total
    assert len(lines) == 3
    for number, (_, text) in enumerate(lines):
        assert f'come from {number} of 3 classes' in text
    assert '0 (1), 1 (0), 2 (0)' in lines[0][1]
    assert '1 (1), 2 (0)' in lines[1][1]


def test_other_processes_say_nothing(lines, monkeypatch):
    monkeypatch.setattr('mmood.outliers.vos.is_main_process', lambda: False)
    module = synthesis(patience=0)
    assert count(module, 5, 5, 1) == 2
    assert not lines


def test_queues_longer_than_the_data(lines):
    module = synthesis(queue_size=1000)
    totals = [count(module, 5, 5, 1) for _ in range(5)]
    assert totals == [0] * 5 and len(lines) == 1
    assert 'come from 0 of 3 classes' in lines[0][1]


def test_nothing_is_left_out_when_all_fill_in_time(lines):
    module = synthesis()
    for _ in range(5):
        made(module, *batch(5, 5, 5))
    assert not lines


@pytest.mark.parametrize('cut', [1, 3, 5])
def test_a_resumed_run_equals_an_uninterrupted_one(cut):
    steps = [batch(2, 1, i % 2) for i in range(8)]
    straight, first = synthesis(), synthesis()
    whole = play(straight, steps)
    parts = play(first, steps[:cut])
    resumed = synthesis()
    resumed.load_state_dict(first.state_dict())
    parts += play(resumed, steps[cut:], cut)
    assert [len(x) for x in parts] == [0, 0, 1, 1, 2, 2, 2, 2]
    for mine, other in zip(parts, whole):
        assert_near(mine, other)
    for name, value in straight.state_dict().items():
        assert_near(resumed.state_dict()[name], value)


def play(module, steps, start=0):
    outliers = []
    for number, step in enumerate(steps, start):
        torch.manual_seed(number)
        outliers.append(made(module, *step))
    return outliers


def two_ranks(tmp_path, ranks, **options):
    source, out = tmp_path / 'steps.pt', tmp_path / 'result'
    torch.save(({**OPTIONS, **options}, ranks), source)
    script = Path(__file__).with_name('queue_ranks.py')
    run_script(script, source, out, ranks=2)
    return [torch.load(f'{out}.{rank}') for rank in range(2)]


def test_two_ranks_hold_what_one_process_holds(tmp_path):
    """Also where one of them, or both, have no sample; then one has nan."""
    counts = [((3, 1, 0), (0, 0, 0)), ((0, 0, 0), (0, 0, 0)),
              ((0, 0, 0), (9, 1, 2)), ((2, 3, 1), (1, 0, 1)),
              ((1, 1, 1), (1, 1, 1))]  # fmt: skip
    pairs = [[batch(*c) for c in pair] for pair in counts]
    module = synthesis()
    totals = []
    for a, b in pairs:
        both = (torch.cat([x, y]) for x, y in zip(a, b))
        totals.append(len(made(module, *both)))
    nan = torch.full((1, 4), float('nan')), torch.tensor([0])
    pairs.append([nan, batch(1, 1, 1)])
    results = two_ranks(tmp_path, [list(rank) for rank in zip(*pairs)])
    assert totals == [0, 0, 1, 2, 3]
    for result in results:
        assert result['counts'] == totals
        assert result['error'].startswith('1 of 4 samples')
        for name, value in module.state_dict().items():
            assert_near(result['state'][name], value)


def test_registered_with_the_paper_s_numbers():
    module = MODELS.build(
        dict(type='mmood.VirtualOutlierSynthesis', num_classes=2, channels=8)
    )
    assert module.queues.memory.shape == (2, 1000, 8)
    assert (module.num_candidates, module.num_select) == (10000, 1)
    assert (module.jitter, module.shrinkage) == (1e-4, 0.0)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_select=0), 'num_select must be in'),
        (dict(num_candidates=3, num_select=4), 'got 4 of 3'),
        (dict(shrinkage=1.5), 'got 1.5 and 0.0001'),
        (dict(jitter=0.0), 'got 0.0 and 0.0'),
    ],
)
def test_refuses_options_that_would_fail_later(options, message):
    with pytest.raises(ValueError, match=message):
        synthesis(**options)


def test_the_logger_reaches_the_log(caplog):
    with caplog.at_level(logging.WARNING):
        logger = MMLogger.get_current_instance()
        logger.addHandler(caplog.handler)
        made(synthesis(patience=0), *batch(5, 5, 1))
        logger.removeHandler(caplog.handler)
    assert 'virtual outliers come from 2 of 3' in caplog.text
