"""What every score, loss, source of outliers and measure promises.

Each part of the registry has a case here; what only one of them promises
stands in its own file. Shapes: N samples, C = 6 channels, K = 4 classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mmood.losses
import mmood.metrics
import mmood.outliers
import mmood.scores
from helpers import assert_near
from mmood.registry import METRICS, MODELS
from mmood.scores import FittedScore, Samples, get_score, score_names

C, K = 6, 4
LOGITS = sorted(score_names())


def rows(count: int, channels: int = C, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, generator=generator)


def labels(count: int, classes: int = K) -> Tensor:
    return torch.arange(count) % classes


# ---------------------------------------------------------------- scores
@torch.autocast('cpu', enabled=False)
def linear(maps: Tensor) -> Tensor:
    weight = torch.arange(4.0 * C).sin().view(C, 4)
    return maps[..., 0, 0].float() @ weight


def view(maps: Tensor) -> Samples:
    """Of inputs (N, C, 2, 2): logits, features, positive numerators."""
    logits = linear(maps)
    return Samples(logits, maps[..., 0, 0], logits.sigmoid())


def fitted(score: nn.Module) -> nn.Module:
    if not isinstance(score, FittedScore):
        return score
    x = rows(80)
    score.reset()
    seen, more = arguments(score, x)
    keys = torch.arange(len(x))
    score.update(seen, *more, labels=labels(len(x)), keys=keys)
    score.finish()
    return score


def arguments(score: nn.Module, x: Tensor) -> tuple:
    """What a score takes of rows, and the view that goes with inputs."""
    if score.source == 'inputs':
        return x[..., None, None].repeat(1, 1, 2, 2), (view,)
    if score.source == 'samples':
        return Samples(linear(x[..., None, None]), x), ()
    return x, ()


def csi_score() -> nn.Module:
    return mmood.scores.CSIScore(
        lambda x: x[:, :3].float() - 0.5, lambda x: x[:, 1:5].abs(), channels=3
    )


SCORES: dict[str, Callable] = dict(
    CSIScore=csi_score,
    GeneralizedODIN=mmood.scores.GeneralizedODIN,
    GramMatrices=lambda: mmood.scores.GramMatrices(C, K),
    KNN=lambda: mmood.scores.KNN(C, 3),
    Mahalanobis=lambda: mmood.scores.Mahalanobis(C, K),
    ODIN=mmood.scores.ODIN,
)


def scored(score: nn.Module, x: Tensor) -> dict[str, Tensor]:
    seen, more = arguments(score, x)
    return dict(score=score(seen, *more))


# ---------------------------------------------------------------- losses
def of_sides(loss: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Known samples and outliers."""
    return dict(loss=loss(x, x.flip(0) * 0.5))


def of_classes(loss: nn.Module, x: Tensor) -> dict[str, Tensor]:
    return loss(x, labels(len(x)))


def of_turns(loss: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Boxes of which a second view is seen."""
    maps = torch.cat([x, x[:, :2]], 1).view(-1, 2, 2, 2)
    torch.manual_seed(0)  # of the boxes that are chosen
    return loss(
        x,
        labels(len(x)),
        inputs=maps,
        view=lambda m: Samples(m, m.flatten(1)[:, :C]),
        second=maps.flip(3),
    )


def outliers_of(source: nn.Module, x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    outliers, losses = source(x, labels(len(x), 2), True)
    assert outliers.dtype == x.dtype
    return dict(losses, outliers=outliers.float())


PARTS: dict[str, tuple[Callable, Callable]] = dict(
    BlurredClassifierLoss=(
        lambda: mmood.losses.BlurredClassifierLoss(C),
        of_sides,
    ),
    ConfidenceLoss=(mmood.losses.ConfidenceLoss, of_sides),
    ConsistencyLoss=(mmood.losses.ConsistencyLoss, of_sides),
    EnergyOODLoss=(mmood.losses.EnergyOODLoss, of_sides),
    LogisticUncertaintyLoss=(
        lambda: mmood.losses.LogisticUncertaintyLoss(C),
        of_sides,
    ),
    UncertaintyLoss=(mmood.losses.UncertaintyLoss, of_sides),
    CSILoss=(lambda: mmood.losses.CSILoss(C, channels=4), of_turns),
    SIRENLoss=(
        lambda: mmood.losses.SIRENLoss(C, K, channels=8),
        of_classes,
    ),
    FlowFeatureSynthesis=(
        lambda: mmood.outliers.FlowFeatureSynthesis(C),
        outliers_of,
    ),
    GANSynthesis=(lambda: mmood.outliers.GANSynthesis(C), outliers_of),
    VirtualOutlierSynthesis=(
        lambda: mmood.outliers.VirtualOutlierSynthesis(
            2, C, queue_size=3, num_candidates=20
        ),
        outliers_of,
    ),
)

PARTS.update({name: (build, scored) for name, build in SCORES.items()})


# Their inputs are moved or mixed, their outliers returned, as halves, or
# layers of their own come before the rest.
HALVES = (
    'CSILoss', 'FlowFeatureSynthesis', 'GANSynthesis', 'GeneralizedODIN',
    'VirtualOutlierSynthesis',
)  # fmt: skip


@pytest.fixture(params=sorted(PARTS))
def part(request) -> tuple[Callable, Callable]:
    """How one is built, ready to be called, and called."""
    build, call = PARTS[request.param]
    return lambda: fitted(build()), call


# ------------------------------------------------------------- contracts
def test_every_registered_part_has_a_case():
    rooms = ('mmood.scores', 'mmood.losses', 'mmood.outliers')
    own = {
        name: kind
        for name, kind in MODELS.module_dict.items()
        if kind.__module__.startswith(rooms)
    }
    classifiers = {'DecomposedLinear'}
    assert set(own) - classifiers <= set(PARTS)
    for name, kind in own.items():
        assert kind.__name__ == name
        assert MODELS.get(f'mmood.{name}') is kind


def test_half_precision_is_raised(part):
    """Under autocast too, halves alone are rounded: what is computed of
    them has the digits of float32."""
    build, call = part
    half = rows(12).bfloat16()
    module = build()
    state = {k: v.clone() for k, v in module.state_dict().items()}
    expected = call(module, half.float())
    with torch.autocast('cpu', torch.bfloat16):
        other = build()  # scores are fitted here
        if not isinstance(other, FittedScore):
            other.load_state_dict(state)
        found = call(other, half)
    for name, value in expected.items():
        assert found[name].dtype in (torch.float32, torch.float64)
        close = 0.02 if type(module).__name__ in HALVES else 1e-4
        assert_near(found[name], value.to(found[name]), close, close)


def test_without_a_sample_nothing_happens(part):
    """No score; a loss of zero, of which a gradient can be taken."""
    build, call = part
    module, none = build(), rows(0).requires_grad_()
    found = call(module, none)
    assert len(found.pop('score', ())) == 0
    assert torch.isfinite(found.pop('outliers', torch.zeros(0))).all()
    for value in found.values():
        assert value == 0
        value.backward(retain_graph=True)
    for parameter in module.parameters():
        assert parameter.grad is None or not parameter.grad.any()


def test_a_checkpoint_restores_it(part):
    build, call = part
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


@pytest.mark.parametrize('name', LOGITS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_logit_scores_raise_halves(name, dtype):
    logits = rows(9).to(dtype)
    score = get_score(name)
    with torch.autocast('cpu', torch.bfloat16):
        found = score(logits)
    assert found.dtype == torch.float32
    assert_near(found, score(logits.float()))
    assert score(logits[:0]).shape == (0,)


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
