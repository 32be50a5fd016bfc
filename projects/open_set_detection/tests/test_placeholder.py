"""PROSER's placeholders against loops in numpy."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from helpers import assert_near
from mmood.losses.open_set import (
    columns_of,
)
from mmood.registry import MODELS
from projects.open_set_detection.open_set_detection import PlaceholderLoss
from projects.open_set_detection.open_set_detection.placeholder import (
    different_pairs,
    mix,
)
from roi_batches import (
    linear_view,
    roi_batch,
)


@pytest.mark.parametrize('labels', [[], [2], [1, 1, 1]])
def test_one_class_has_no_pair(labels):
    first, second = different_pairs(torch.tensor(labels))
    assert len(first) == len(second) == 0


def test_pairs_differ_and_take_each_once():
    labels = torch.randint(4, (50,))
    first, second = different_pairs(labels)
    assert (labels[first] != labels[second]).all()
    for part in (first, second):
        assert len(part.unique()) == len(part)
    assert len(first) > 20


@pytest.mark.parametrize('n', [2, 3, 6])
def test_all_pair_where_all_differ(n):
    first, second = different_pairs(torch.arange(n))
    assert sorted(first.tolist()) == sorted(second.tolist()) == [*range(n)]


def test_each_pair_is_drawn():
    torch.manual_seed(0)
    pairs = set()
    for _ in range(60):
        first, second = different_pairs(torch.tensor([0, 1, 2, 0]))
        pairs |= set(zip(first.tolist(), second.tolist()))
    every = {(i, j) for i in range(4) for j in range(4) if i != j}
    assert pairs == every - {(0, 3), (3, 0)}


@pytest.mark.parametrize('alpha', [0.5, 2.0, 20.0])
def test_shares_have_the_moments_of_beta(alpha):
    """One share a pair; mean 1 / 2, variance 1 / (4 (2 alpha + 1))."""
    torch.manual_seed(0)
    n = 20_000
    mixed = mix(torch.ones(n, 2, 1), torch.zeros(n, 2, 1), alpha)[..., 0]
    assert torch.equal(mixed[:, 0], mixed[:, 1])
    shares = mixed[:, 0]
    assert 0 <= shares.min() < 0.5 < shares.max() <= 1
    assert shares.mean().item() == pytest.approx(0.5, abs=0.01)
    expected = 1 / (4 * (2 * alpha + 1))
    assert shares.var().item() == pytest.approx(expected, rel=0.05)


def test_a_mixture_of_equals_is_the_same():
    x = torch.randn(5, 2, 3, 3)
    torch.testing.assert_close(mix(x, x, 2.0), x)


def test_halves_stay_halves_and_nothing_nothing():
    x = torch.randn(3, 2).half()
    assert mix(x, x, 2.0).dtype == torch.float16
    assert mix(x[:0], x[:0], 2.0).shape == (0, 2)


def beside_by_hand(logits, labels):
    """Mean over RoIs of -log p(unknown) without the true column."""
    values = []
    for row, label in zip(logits.detach().double().numpy(), labels):
        columns = [c for c in range(len(row)) if c != label]
        place = columns.index(len(row) - 2)
        values.append(-log_softmax(row[columns])[place])
    return np.mean(values)


@pytest.mark.parametrize('num_known', [1, 3])
def test_classifier_placeholder_matches_the_loop(num_known):
    """Known and background RoIs count, those without a truth do not."""
    k = num_known
    batch = roi_batch([0, k + 1, k, k - 1, -1, k + 1], num_known=k)
    counts = [0, 1, 3, 5]
    columns = columns_of(batch)[counts]
    expected = beside_by_hand(batch.logits[counts], columns.tolist())
    losses = PlaceholderLoss(loss_weight=0.1)(batch)
    found = losses['loss_placeholder']
    assert found.item() == pytest.approx(0.1 * expected, rel=1e-5)
    (grad,) = torch.autograd.grad(found, batch.logits)
    assert grad.any(1).tolist() == [i in counts for i in range(6)]


def seen_by(labels, mix_weight=1.0, **more):
    """The losses, the batch and the maps that are classified."""
    maps = []

    def classify(x):
        maps.append(x)
        return linear_view(x)

    batch = roi_batch(labels, classify=classify, **more)
    losses = PlaceholderLoss(mix_weight=mix_weight)(batch)
    assert len(maps) == 1
    return losses, batch, maps[0]


def test_data_placeholder_mixes_known_rois_of_different_classes():
    """Map i is the i-th unit vector, so a mixture tells its parts."""
    labels = torch.tensor([0, 0, 4, 1, 3, 2, 4, -1])
    inputs = torch.eye(8).reshape(8, 2, 2, 2)
    losses, _, maps = seen_by(labels, 0.7, inputs=inputs)
    shares = maps.detach().flatten(1)
    torch.testing.assert_close(shares.sum(1), torch.ones(len(maps)))
    for row in shares:
        parts = row.nonzero()[:, 0]
        assert len(parts) == 2 and len(labels[parts].unique()) == 2
        assert set(parts.tolist()) <= {0, 1, 3, 5}
    logits = linear_view(maps).detach().double().numpy()
    expected = -0.7 * np.mean(log_softmax(logits, axis=1)[:, 3])
    assert losses['loss_mix'].item() == pytest.approx(expected, rel=1e-5)


def test_the_mixtures_gradient_reaches_both_maps():
    losses, batch, _ = seen_by([0, 1, 4])
    losses['loss_mix'].backward()
    grads = batch.inputs.grad.flatten(1).any(1)
    assert grads.tolist() == [True, True, False]


@pytest.mark.parametrize('labels', [[], [4, 4], [3], [0], [1, 1, 4]])
def test_nothing_to_mix_has_a_gradient(labels):
    """They are classified all the same, as on the other ranks."""
    losses, batch, maps = seen_by(labels)
    assert len(maps) == 0 and losses['loss_mix'].item() == 0
    (grad,) = torch.autograd.grad(losses['loss_mix'], batch.inputs)
    assert grad.shape == batch.inputs.shape and not grad.any()
    is_used = bool(set(labels) - {3})
    assert bool(losses['loss_placeholder'] > 0) == is_used
    (grad,) = torch.autograd.grad(losses['loss_placeholder'], batch.logits)
    assert grad.any().item() == is_used


@pytest.mark.parametrize('high', [1e4, 1e30])
def test_extreme_logits_are_finite(high):
    batch = roi_batch(
        [0, 1, 4, 2],
        logits=high * torch.randn(4, 5),
        inputs=high * torch.randn(4, 2, 2, 2),
    )
    total = sum(PlaceholderLoss()(batch).values())
    total.backward()
    assert torch.isfinite(total)
    for leaf in (batch.logits, batch.inputs):
        assert torch.isfinite(leaf.grad).all()


def test_autocast_computes_the_losses_in_float32():
    """Of the half-precision logits that it gets, here twice the same."""
    logits = torch.randn(4, 5).bfloat16()
    maps = logits[:, :4].reshape(4, 1, 2, 2)

    def classify(x):
        return logits[: len(x)]

    expected = PlaceholderLoss()(
        roi_batch([0, 1, 2, 4], logits=logits.float(), inputs=maps,
                  classify=lambda x: classify(x).float())
    )  # fmt: skip
    with torch.autocast('cpu', torch.bfloat16):
        found = PlaceholderLoss()(
            roi_batch(
                [0, 1, 2, 4], logits=logits, inputs=maps, classify=classify
            )
        )
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        assert_near(found[name], value)


@pytest.mark.parametrize('alpha', [0, -1.0, math.nan])
def test_refuses_a_beta_without_meaning(alpha):
    with pytest.raises(ValueError, match=f'alpha .*got {alpha}'):
        PlaceholderLoss(alpha=alpha)


def test_registered():
    module = MODELS.build(dict(type='mmood.PlaceholderLoss'))
    assert (module.loss_weight, module.mix_weight, module.alpha) == (1, 1, 2)
