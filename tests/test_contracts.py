"""What every score, loss, source of outliers and measure promises.

All registered ones are called alike, see `parts`; what only one of them
promises stands in its own file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mmood.losses
import mmood.metrics
import mmood.outliers
from batches import as_ranks
from helpers import assert_near
from mmood.losses import OODLoss
from mmood.registry import METRICS, MODELS, SCORES
from registered import (
    LOSSES,
    NAMES,
    SOURCES,
    Score,
    batch,
    build,
    rows,
    seen,
)
from waits import Waits


def losses_of(loss: nn.Module, x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return loss(batch(x, loss=loss))


def outliers_of(source: nn.Module, x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    outliers, losses = source(batch(x))
    if outliers is None:
        return losses
    assert outliers.features.dtype == x.dtype
    return dict(losses, outliers=outliers.features.float())


def fitted(name: str) -> Score:
    torch.manual_seed(0)
    return Score(name).fit(rows(80))


def scored(part: Score, x: Tensor) -> dict[str, Tensor]:
    return dict(score=part(x))


PARTS: dict[str, tuple[Callable, Callable]] = {
    **{name: (lambda n=name: build(n), losses_of) for name in LOSSES},
    **{name: (lambda n=name: build(n), outliers_of) for name in SOURCES},
    **{name: (lambda n=name: fitted(n), scored) for name in NAMES},
}
# Their inputs are moved or mixed, their outliers returned, as halves, or
# layers of their own come before the rest.
HALVES = (
    'CSILoss', 'DenoisingLoss', 'FlowFeatureSynthesis', 'GANSynthesis',
    'RPLLoss', 'VirtualOutlierSynthesis', 'csi', 'diffusion', 'godin',
    'odin', 'rpl',
)  # fmt: skip


@pytest.fixture(params=sorted(PARTS))
def part(request) -> tuple[str, Callable, Callable]:
    """Name of one, how it is built, ready to be called, and called."""
    return request.param, *PARTS[request.param]


def test_each_part_is_registered_under_its_name():
    for name in (*LOSSES, *SOURCES):
        kind = MODELS.get(f'mmood.{name}')
        assert kind.__name__ == name
        room = mmood.losses if issubclass(kind, OODLoss) else mmood.outliers
        assert getattr(room, name) is kind
    assert {'UncertaintyLoss', 'SIRENLoss', 'DenoisingLoss'} <= set(LOSSES)
    assert len(SOURCES) == 5 and 'dreambox' in NAMES


def test_half_precision_is_raised(part):
    """Under autocast too, halves alone are rounded: what is computed of
    them has the digits of float32."""
    name, build, call = part
    half = rows(12).bfloat16()
    module, other = build(), build()
    other.load_state_dict(module.state_dict())
    expected = call(module, half.float())
    with torch.autocast('cpu', torch.bfloat16):
        found = call(other, half)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype in (torch.float32, torch.float64)
        close = 0.02 if name in HALVES else 1e-4
        assert_near(found[key], value.to(found[key]), close, close)


def test_without_a_sample_nothing_happens(part):
    """No score; a loss of zero, of which a gradient can be taken."""
    _, build, call = part
    module, none = build(), rows(0).requires_grad_()
    for parameter in module.parameters():
        parameter.grad = None
    found = call(module, none)
    assert len(found.pop('score', ())) == 0
    assert torch.isfinite(found.pop('outliers', torch.zeros(0))).all()
    for value in found.values():
        assert value == 0
        value.backward(retain_graph=True)
    for parameter in module.parameters():
        assert parameter.grad is None or not parameter.grad.any()


def test_a_checkpoint_restores_it(part):
    _, build, call = part
    module = build()
    call(module, rows(9, seed=2))
    state = {k: v.clone() for k, v in module.state_dict().items()}
    torch.manual_seed(5)
    other = build()
    other.load_state_dict(state)
    for name, value in module.state_dict().items():
        assert_near(other.state_dict()[name], value)
    expected, found = (call(m, rows(7)) for m in (module, other))
    for name, value in expected.items():
        assert_near(found[name], value)


OF_ANOTHER_WIDTH = dict(
    features='dice fdbd gram knn mahalanobis nnguide residual rmds vim',
    logits='kl_matching openmax she',
)


@pytest.mark.parametrize(
    ('part', 'name'),
    [(k, n) for k, names in OF_ANOTHER_WIDTH.items() for n in names.split()],
)
def test_fitted_scores_refuse_another_width(part, name):
    score = fitted(name).scores
    samples = seen(rows(5))
    wider = torch.cat([getattr(samples, part)] * 2, 1)
    setting = dict(features='channels', logits='num_classes')[part]
    with pytest.raises(ValueError, match=rf'{part} must be .*set {setting}'):
        score(replace(samples, **{part: wider}))


# They compare with the training's logits, which are noise here.
COMPARING = ('kl_matching', 'openmax')
OF_LOGITS = [
    name
    for name in NAMES
    if {*SCORES.get(name).reads} <= {'logits', 'values'}
    and name not in COMPARING
]


@pytest.mark.parametrize('name', OF_LOGITS)
def test_no_class_scores_higher_than_a_clear_one(name):
    x = torch.zeros(2, 6)
    x[1, 0] = 8
    flat, confident = fitted(name)(x).tolist()
    assert flat > confident + 0.1


# Rows of a rank are compared with each other, or come in equal numbers.
APART = ('CSILoss', 'DenoisingLoss')


@pytest.mark.parametrize('name', [n for n in LOSSES if n not in APART])
@pytest.mark.parametrize('cut', [0, 1, 5])
def test_losses_of_two_ranks_average_to_those_of_one(monkeypatch, name, cut):
    """As DDP averages their gradients; also if a rank has no row."""
    x = rows(12).requires_grad_()
    loss = build(name)
    loss(batch(rows(20, seed=3), loss=loss))  # what it follows is there now
    loss.eval()
    parts = as_ranks(
        monkeypatch,
        lambda: loss(batch(x[:cut], loss=loss)),
        lambda: loss(batch(x[cut:], cut, loss)),
    )
    for key, value in loss(batch(x, loss=loss)).items():
        mean = (parts[0][key] + parts[1][key]) / 2
        torch.testing.assert_close(mean, value)
        found, expected = (
            torch.autograd.grad(v, x, retain_graph=True)[0]
            for v in (mean, value)
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
        assert expected.any()


# It checks its inputs, before it widens their range.
CHECKING = ('DenoisingLoss',)


@pytest.mark.parametrize('name', [n for n in LOSSES if n not in CHECKING])
def test_no_loss_waits_for_the_device(name):
    """But for which rows are known, and which on no object, once."""
    loss, x = build(name), rows(12).requires_grad_()
    seen = batch(x, loss=loss)
    if not loss.of_pixels:
        assert len(seen.known) == 10 and len(seen.inliers) == 11
        assert len(seen.object_rows) == 10
    with Waits():
        for value in loss(seen).values():
            value.backward(retain_graph=True)


@pytest.mark.parametrize(
    'wait', [float, bool, torch.nonzero, lambda x: torch.ones(2)[x[None] > 0]]
)
def test_what_waits_is_seen(wait):
    with pytest.raises(AssertionError, match='waits'), Waits():
        wait(torch.ones(1)[0])


MEASURES = dict(
    auroc=mmood.metrics.auroc,
    average_precision=mmood.metrics.average_precision,
    fpr_at_tpr=mmood.metrics.fpr_at_tpr,
)


@pytest.mark.parametrize('name', MEASURES)
def test_measures_are_shares_or_nan_and_refuse_nan(name):
    measure, truth = MEASURES[name], np.array([True, False, True])
    scores = np.array([3.0, 1.0, 2.0])
    assert measure(scores, truth) == (0 if name == 'fpr_at_tpr' else 1)
    assert np.isnan(measure(scores, np.zeros(3, bool)))
    with pytest.raises(ValueError, match='nan'):
        measure(scores * [1, np.nan, 1], truth)
    with pytest.raises(ValueError, match='3.*2|2.*3'):
        measure(scores, truth[:2])


def test_metrics_are_registered_under_their_name():
    assert METRICS.get('mmood.OODDetMetric') and METRICS.get('OODSegMetric')
    for name, kind in METRICS.module_dict.items():
        assert METRICS.get(f'mmood.{name}') is kind
        assert kind.__name__ == name
