"""What every score, loss, source of outliers and measure promises.

All registered ones are found, built with the sizes that they ask for and
called alike; what only one of them promises stands in its own file. Shapes:
N samples, C = 6 channels, K = 4 classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import mmood.losses
import mmood.metrics
import mmood.outliers
from batches import as_ranks, full_batch
from helpers import assert_near
from mmood.losses import BACKGROUND, IGNORE, Batch, OODLoss, build_part
from mmood.outliers import OutlierSource
from mmood.registry import METRICS, MODELS
from mmood.scores import Samples, ScoreSet, score_names

C, K = 6, 4
SIZES = dict(num_classes=K, channels=C, in_channels=C)
# Arguments where the defaults ask for more data than there is here.
OPTIONS = dict(
    VirtualOutlierSynthesis=dict(queue_size=3, num_candidates=20, patience=0),
    SIRENLoss=dict(channels=8),
    CSILoss=dict(channels=4),
    BlurredOutliers={},
)
SCORES = dict(
    compound=dict(of=['energy', 'max_logit']),
    diffusion=dict(timesteps=3),
    knn=dict(k=3),
    siren_knn=dict(k=3),
)


def rows(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, C, generator=generator)


def labels(count: int) -> Tensor:
    """The classes in turn, and rows that are on none."""
    values = torch.tensor([*range(K), *range(K), BACKGROUND, IGNORE])
    return values.repeat(count)[:count]


def batch(x: Tensor, start: int = 0) -> Batch:
    """Rows x, which ``start`` others come before, and as many outliers."""
    return full_batch(x, 0.5 * x.flip(1), labels(start + len(x))[start:], K)


def registered(base: type, room: str) -> list[str]:
    MODELS.import_from_location()
    return sorted(
        name
        for name, kind in MODELS.module_dict.items()
        if issubclass(kind, base) and kind.__module__.startswith(room)
    )


def build(name: str) -> nn.Module:
    config = dict(type=f'mmood.{name}', **OPTIONS.get(name, {}))
    sizes = dict(SIZES)
    if name in registered(OODLoss, 'mmood'):  # its `channels` are others
        sizes.pop('channels') if name != 'DenoisingLoss' else None
    return build_part(config, **sizes)


def losses_of(loss: nn.Module, x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return loss(batch(x))


def outliers_of(source: nn.Module, x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    outliers, losses = source(batch(x))
    if outliers is None:
        return losses
    assert outliers.features.dtype == x.dtype
    return dict(losses, outliers=outliers.features.float())


def trained() -> list[nn.Module]:
    """Losses that have learned something, for the scores that need them."""
    torch.manual_seed(0)
    losses = [build(name) for name in LOSSES]
    for loss in losses:
        loss(batch(rows(20)))
        if isinstance(loss, mmood.losses.CSILoss):
            loss.shift_classifier.bias.data += 5
    return losses


class Scores(nn.Module):
    """A list of one score, fitted, and what it is made of."""

    def __init__(self, name: str) -> None:
        super().__init__()
        configs = [dict(type=name, **SCORES.get(name, {}))]
        configs += SCORES.get(name, {}).get('of', [])
        losses = trained()
        self.losses, self.name = nn.ModuleList(losses), name
        self.scores = ScoreSet(
            configs, num_classes=K, channels=C, losses=losses
        )
        for names in self.scores.stages():
            self.scores.start(names)
            samples = self.scores.with_values(seen(rows(80)))
            classes = torch.arange(80) % K
            self.scores.update(samples, classes, torch.arange(80))
            self.scores.finish()


def seen(x: Tensor) -> Samples:
    """All that an adapter can show of rows (N, C)."""

    def view(maps: Tensor) -> Samples:
        features = maps[..., 0, 0]
        numerators = features[:, :K].float().sigmoid()
        return Samples(features[:, :K], features, numerators=numerators)

    inputs = x[..., None, None].expand(-1, -1, 2, 2)
    samples = view(inputs)
    samples.inputs, samples.view = inputs, view
    return samples


def scored(part: Scores, x: Tensor) -> dict[str, Tensor]:
    return dict(score=part.scores(seen(x))[part.name])


LOSSES = registered(OODLoss, 'mmood.losses')
SOURCES = registered(OutlierSource, 'mmood.outliers')
PARTS: dict[str, tuple[Callable, Callable]] = {
    **{name: (lambda n=name: build(n), losses_of) for name in LOSSES},
    **{name: (lambda n=name: build(n), outliers_of) for name in SOURCES},
    **{n: (lambda n=n: Scores(n), scored) for n in score_names()},
}
# Their inputs are moved or mixed, their outliers returned, as halves, or
# layers of their own come before the rest.
HALVES = (
    'CSILoss', 'DenoisingLoss', 'FlowFeatureSynthesis', 'GANSynthesis',
    'VirtualOutlierSynthesis', 'csi', 'diffusion', 'godin', 'odin',
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
    assert len(SOURCES) == 5 and 'dreambox' in score_names()


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


# Rows of a rank are compared with each other, or come in equal numbers.
APART = ('CSILoss', 'DenoisingLoss')


@pytest.mark.parametrize('name', [n for n in LOSSES if n not in APART])
@pytest.mark.parametrize('cut', [0, 1, 5])
def test_losses_of_two_ranks_average_to_those_of_one(monkeypatch, name, cut):
    """As DDP averages their gradients; also if a rank has no row."""
    x = rows(12).requires_grad_()
    loss = build(name)
    loss(batch(rows(20, seed=3)))  # what it follows is there now
    loss.eval()
    parts = as_ranks(
        monkeypatch,
        lambda: loss(batch(x[:cut])),
        lambda: loss(batch(x[cut:], start=cut)),
    )
    for key, value in loss(batch(x)).items():
        mean = (parts[0][key] + parts[1][key]) / 2
        torch.testing.assert_close(mean, value)
        found, expected = (torch.autograd.grad(v, x)[0] for v in (mean, value))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
        assert expected.any()


class Waits(TorchDispatchMode):
    """Refuses what would wait for a GPU."""

    names = ('_local_scalar_dense', 'nonzero', 'is_nonzero', 'equal')

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = [
            index
            for index in (args[1] if name == 'index' else [])
            if index is not None and index.dtype == torch.bool
        ]
        assert name not in self.names and not masks, f'{name} waits'
        return func(*args, **(kwargs or {}))


# It checks its inputs, before it widens their range.
CHECKING = ('DenoisingLoss',)


@pytest.mark.parametrize('name', [n for n in LOSSES if n not in CHECKING])
def test_no_loss_waits_for_the_device(name):
    """But for which rows are known, and which on no object, once."""
    loss, x = build(name), rows(12).requires_grad_()
    seen = batch(x)
    assert len(seen.known) == 10 and len(seen.inliers) == 11
    with Waits():
        total = sum(loss(seen).values())
        total.backward()


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
