"""Objectness of queries, against its closed form.

Shapes: L decoder layers of n queries with C = 1 channel.
"""

from __future__ import annotations

import math

import pytest
import torch

from batches import as_ranks
from mmood.losses import (
    BACKGROUND,
    IGNORE,
    OUTLIER,
    Batch,
    ObjectnessLoss,
    build_losses,
)
from mmood.registry import MODELS


def layer(log_odds, labels):
    features = torch.tensor(log_odds)[:, None].requires_grad_()
    return features, torch.tensor(labels, dtype=torch.long)


def batch(*layers):
    return Batch(layers=lambda: list(layers))


def loss_of(num_layers=1, **more):
    """A loss whose log-odds are the features themselves, times 1, 2, ..."""
    loss = ObjectnessLoss(1, num_layers, **more)
    for i, branch in enumerate(loss.branches):
        torch.nn.init.constant_(branch.weight, i + 1.0)
        torch.nn.init.zeros_(branch.bias)
    return loss


def focal(log_odds, is_object, alpha=0.25):
    """``-a (1 - p)^2 log p`` of the truth's probability p."""
    p = 1 / (1 + math.exp(-log_odds if is_object else log_odds))
    return -(alpha if is_object else 1 - alpha) * (1 - p) ** 2 * math.log(p)


def test_it_is_the_focal_loss_of_known_and_unknown_objects():
    """By the number of the known ones; those to be ignored do not count."""
    log_odds = [0.5, -1.0, 2.0, 0.0, 9.0]
    labels = [2, 0, OUTLIER, BACKGROUND, IGNORE]
    one = layer(log_odds, labels)
    found = loss_of()(batch(one))
    assert list(found) == ['loss_objectness']
    truth = [True, True, True, False]
    expected = 0.1 * sum(map(focal, log_odds, truth)) / 2
    assert found['loss_objectness'].item() == pytest.approx(expected)
    found['loss_objectness'].backward()
    gradient = one[0].grad[:, 0].sign().tolist()
    assert gradient == [-1, -1, -1, 1, 0]


@pytest.mark.parametrize('num_layers', [1, 2])
def test_decoder_layers_are_added_up(num_layers):
    """With one branch for all, or with one for each."""
    first = layer([0.3, -0.2], [1, BACKGROUND])
    second = layer([-0.7, 0.4], [OUTLIER, 1])
    loss = loss_of(num_layers, loss_weight=1.0)
    scale = num_layers
    expected = focal(0.3, True) + focal(-0.2, False)
    expected += focal(-0.7 * scale, True) + focal(0.4 * scale, True)
    value = loss(batch(first, second))['loss_objectness']
    assert value.item() == pytest.approx(expected)


def test_without_an_object_the_background_still_counts():
    value = loss_of(loss_weight=1.0)(batch(layer([0.2], [BACKGROUND])))
    assert value['loss_objectness'].item() == pytest.approx(focal(0.2, False))


def test_without_a_query_it_is_zero_and_has_a_graph():
    value = loss_of()(batch(layer([], [])))['loss_objectness']
    assert value.item() == 0
    value.backward()


def test_ranks_divide_by_the_mean_number_of_known_objects(monkeypatch):
    """Three on one rank and none on the other: 1.5."""
    loss = loss_of(loss_weight=1.0)
    ours = layer([0.1, 0.2, 0.3], [0, 1, 2])
    theirs = layer([0.4], [BACKGROUND])
    parts = as_ranks(
        monkeypatch,
        lambda: loss(batch(ours))['loss_objectness'].item(),
        lambda: loss(batch(theirs))['loss_objectness'].item(),
    )
    total = sum(focal(x, True) for x in (0.1, 0.2, 0.3))
    assert parts[0] == pytest.approx(total / 1.5)
    assert parts[1] == pytest.approx(focal(0.4, False) / 1.5)


def test_it_starts_from_a_hundredth():
    loss = ObjectnessLoss(4, 2)
    for branch in loss.branches:
        assert branch.bias.sigmoid().item() == pytest.approx(0.01)


def test_mixed_precision_is_computed_in_float32():
    one = layer([0.5, -1.0], [0, BACKGROUND])
    half = one[0].detach().to(torch.bfloat16), one[1]
    with torch.autocast('cpu', torch.bfloat16):
        value = loss_of()(batch(half))['loss_objectness']
    assert value.dtype == torch.float32
    expected = loss_of()(batch(one))['loss_objectness']
    torch.testing.assert_close(value, expected)


def test_it_has_the_heads_sizes():
    config = [dict(type='mmood.ObjectnessLoss')]
    losses = build_losses(config, num_classes=3, in_channels=8, num_layers=4)
    branches = losses['ObjectnessLoss'].branches
    assert [b.in_features for b in branches] == [8] * 4
    assert MODELS.get('mmood.ObjectnessLoss') is ObjectnessLoss
