"""OpenDet's unknown probability loss against loops in numpy."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax

from helpers import assert_near
from mmood.losses.batch import BACKGROUND
from mmood.losses.open_set import (
    columns_of,
)
from mmood.registry import MODELS
from projects.open_set_detection.open_set_detection import (
    UnknownProbabilityLoss,
    placeholder_cross_entropy,
    unknown_probability,
    unknown_probability_loss,
)
from roi_batches import roi_batch


def by_hand(logits, labels, alpha):
    """(loss, cross entropy) of each RoI, with the true column cut out."""
    pairs = []
    for row, label in zip(logits.detach().double().numpy(), labels.tolist()):
        g = softmax(row)[label]
        columns = [c for c in range(len(row)) if c != label]
        p = softmax(row[columns])[columns.index(len(row) - 2)]
        pairs.append((-g * (1 - g) ** alpha * math.log(p), -math.log(p)))
    return np.array(pairs).reshape(-1, 2)


@pytest.mark.parametrize('alpha', [0.0, 1.0, 2.5])
@pytest.mark.parametrize('num_known', [1, 4])
def test_matches_the_loop(alpha, num_known):
    labels = torch.tensor([0, num_known + 1, num_known - 1, 0])
    logits = 3 * torch.randn(4, num_known + 2)
    expected = by_hand(logits, labels, alpha)
    found = unknown_probability_loss(logits, labels, alpha)
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-4, atol=1e-6)
    found = placeholder_cross_entropy(logits, labels)
    np.testing.assert_allclose(found, expected[:, 1], rtol=1e-4, atol=1e-6)


def test_known_values():
    """Equal logits, K = 2: g = 1 / 4, and one in three is unknown."""
    for label in (0, 1, 3):
        found = unknown_probability_loss(
            torch.zeros(1, 4), torch.tensor([label])
        )
        assert found.item() == pytest.approx(3 / 16 * math.log(3))


def test_the_true_class_is_a_weight_and_has_no_gradient():
    z = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 4, 0])
    found = unknown_probability_loss(z, labels, 2.0).sum()
    (grad,) = torch.autograd.grad(found, z)
    p = softmax(z.detach().numpy(), axis=1)
    for i, label in enumerate(labels):
        weight = p[i, label] * (1 - p[i, label]) ** 2
        rest = p[i] / (1 - p[i, label])
        rest[3] -= 1
        rest[label] = 0
        np.testing.assert_allclose(grad[i], weight * rest, rtol=1e-5)


def test_no_roi():
    z = torch.zeros(0, 5, requires_grad=True)
    found = unknown_probability_loss(z, torch.zeros(0).long())
    assert found.shape == (0,)
    (grad,) = torch.autograd.grad(found.sum(), z)
    assert grad.shape == (0, 5)


@pytest.mark.parametrize('high', [1e4, 1e30])
def test_extreme_logits_are_finite(high):
    z = torch.tensor([[high, 0, 0, -high], [-high, high, -high, 0]])
    for label in (0, 1, 3):
        logits = z.clone().requires_grad_()
        found = unknown_probability_loss(logits, torch.tensor([label] * 2))
        assert torch.isfinite(found).all()
        (grad,) = torch.autograd.grad(found.sum(), logits)
        assert torch.isfinite(grad).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype):
    z, labels = (
        (4 * torch.randn(5, 5)).to(dtype),
        torch.tensor([0, 1, 2, 4, 4]),
    )
    expected = unknown_probability_loss(z.float(), labels)
    with torch.autocast('cpu', torch.bfloat16):
        found = unknown_probability_loss(z, labels)
    assert found.dtype == torch.float32
    assert_near(found, expected)


@pytest.mark.parametrize('shape', [(4, 2), (4,), (0, 1), (2, 3, 4)])
def test_refuses_logits_without_a_known_class(shape):
    labels = torch.zeros(shape[0], dtype=torch.long)
    with pytest.raises(ValueError, match=r'\(R, K \+ 2\), of at least one'):
        placeholder_cross_entropy(torch.zeros(shape), labels)


def test_refuses_a_batch_without_a_column_for_the_unknown():
    batch = roi_batch([0, 1], logits=torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r'\(R, 5\).*unknown_class=True'):
        UnknownProbabilityLoss()(batch)


def chosen_by_hand(batch, top_k):
    """Sort known and background RoIs by the largest logit but unknown's."""
    logits = batch.logits.tolist()
    chosen = []
    known = batch.num_classes
    for wanted in (range(known), [BACKGROUND]):
        rois = [
            (max(z for c, z in enumerate(row) if c != known), i)
            for i, row in enumerate(logits)
            if batch.labels[i] in wanted
        ]
        chosen += [i for _, i in sorted(rois)[:top_k]]
    return chosen


@pytest.mark.parametrize('top_k', [1, 3, 50])
@pytest.mark.parametrize('n', [0, 1, 4, 30])
def test_chooses_the_hardest_of_both_kinds(n, top_k):
    """Negative and unknown labels are of neither kind."""
    batch = roi_batch(torch.randint(-1, 5, (n,)))
    expected = chosen_by_hand(batch, top_k)
    places = unknown_probability.hardest(batch, top_k)
    assert places.tolist() == expected


def test_the_unknown_column_does_not_count_and_equals_go_in_order():
    z = torch.zeros(4, 5)
    z[0, 4] = 0.1
    z[1:, 3] = torch.tensor([9.0, 0, 5])
    places = unknown_probability.hardest(roi_batch([0, 1, 2, 2], logits=z), 2)
    assert places.tolist() == [1, 2]


@pytest.mark.parametrize('labels', [[0, 1, 2, 0, 4, 4, 4, 4], [0, 4], [4, 4]])
def test_is_the_weighted_mean_over_the_chosen(labels):
    module = UnknownProbabilityLoss(2, 1.5, loss_weight=0.3)
    batch = roi_batch(labels)
    values = by_hand(batch.logits, columns_of(batch), 1.5)[:, 0]
    expected = 0.3 * np.mean(values[chosen_by_hand(batch, 2)])
    found = module(batch)['loss_unknown'].item()
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(('iteration', 'is_on'), [(0, 0), (100, 0), (101, 1)])
def test_starts_after_its_iteration(iteration, is_on):
    """Up to it, with a gradient of 0; OpenDet2 asks for ``iter > 100``."""
    batch = roi_batch([0, 4, 1], iteration=iteration)
    value = UnknownProbabilityLoss()(batch)['loss_unknown']
    (grad,) = torch.autograd.grad(value, batch.logits)
    assert bool(value > 0) == grad.any().item() == is_on


@pytest.mark.parametrize('labels', [[], [3], [-1, 3]])
def test_nothing_to_choose_has_a_gradient(labels):
    batch = roi_batch(labels)
    value = UnknownProbabilityLoss()(batch)['loss_unknown']
    assert value.item() == 0
    (grad,) = torch.autograd.grad(value, batch.logits)
    assert grad.tolist() == [[0] * 5] * len(labels)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(top_k=0), 'top_k must be at least 1, got 0'),
        (dict(alpha=-1.0), 'alpha must be at least 0, got -1.0'),
        (dict(alpha=math.nan), 'alpha .*got nan'),
    ],
)
def test_refuses_options_without_meaning(options, match):
    with pytest.raises(ValueError, match=match):
        UnknownProbabilityLoss(**options)


def test_registered_with_the_paper_s_numbers():
    module = MODELS.build(dict(type='mmood.UnknownProbabilityLoss'))
    numbers = module.top_k, module.alpha, module.start, module.loss_weight
    assert numbers == (3, 1.0, 100, 1.0)
