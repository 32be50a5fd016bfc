"""Contrastive clustering against plain loops, and in closed form."""

from __future__ import annotations

import pytest
import torch

from helpers import assert_near
from mmood.losses import ContrastiveClustering, clustering_loss
from roi_batches import roi_batch

K, C = 3, 6


def cluster(**more):
    options = dict(size=4, start=10, interval=5, momentum=0.75, margin=5.0)
    options.update(more)
    return ContrastiveClustering(K, C, **options, loss_weight=1.0)


def step(loss, columns, iteration, features=None):
    """Loss of a batch; 3 is unknown, 4 background, 5 ignored."""
    more = {} if features is None else dict(features=features)
    batch = roi_batch(columns, K, iteration=iteration, **more)
    return loss(batch)['loss_clustering'], batch


def test_values_in_closed_form():
    """Distances 5 and 13; the margin is 10."""
    prototypes = torch.tensor([[3.0, 4.0], [5.0, 12.0]])
    found = clustering_loss(
        torch.zeros(2, 2), torch.tensor([0, 1]), prototypes, 10.0
    )
    assert_near(found, torch.tensor([[5.0, 0.0], [5.0, 13.0]]))


def test_it_equals_plain_loops():
    x, p = torch.randn(7, C), torch.randn(K + 1, C)
    labels = torch.tensor([0, 1, 2, 3, 0, -1, 2])
    found = clustering_loss(x, labels, p, 3.0)
    for i in range(7):
        for j in range(K + 1):
            d = (x[i] - p[j]).pow(2).sum().sqrt()
            expected = d if labels[i] == j else max(0, 3.0 - d)
            assert found[i, j].item() == pytest.approx(float(expected), 1e-5)


@pytest.mark.parametrize('columns', [[], [4, 5], [0, 3]])
def test_before_the_start_there_is_a_graph_and_no_loss(columns):
    loss = cluster()
    value, batch = step(loss, columns, 9)
    assert value == 0 and not loss.made.any()
    value.backward()
    assert not batch.features.grad.any()


def test_prototypes_are_means_then_follow_them():
    loss = cluster()
    first = torch.arange(4.0 * C).view(4, C)
    step(loss, [0, 0, 3, 4], 3, first)
    assert not loss.prototypes.any()
    step(loss, [], 10)
    assert loss.made.tolist() == [1, 0, 0, 1]
    mean = first[:2].mean(0)
    assert_near(loss.prototypes[0], mean)
    assert_near(loss.prototypes[3], first[2])
    second = torch.ones(2, C)
    step(loss, [0, 1], 14, second)  # not yet
    assert_near(loss.prototypes[0], mean)
    step(loss, [4], 15)
    queue = (first[0] + first[1] + second[0]) / 3
    assert_near(loss.prototypes[0], 0.75 * mean + 0.25 * queue)
    assert_near(loss.prototypes[1], second[1])  # new, so as it is
    assert loss.made.tolist() == [1, 1, 0, 1]


def test_the_loss_is_the_mean_over_objects_and_prototypes():
    loss = cluster()
    features = torch.randn(5, C)
    value, batch = step(loss, [0, 3, 4, 5, 1], 10, features)
    rows, labels = features[[0, 1, 4]], torch.tensor([0, 3, 1])
    pairs = clustering_loss(rows, labels, loss.prototypes, 5.0)
    made = [0, 1, 3]  # each is its prototype, none is of class 2
    assert value.item() == pytest.approx(float(pairs[:, made].mean()), 1e-5)
    value.backward()
    assert batch.features.grad[[0, 1, 4]].any(1).all()
    assert not batch.features.grad[2:4].any()
    assert torch.isfinite(batch.features.grad).all()


def test_a_test_moves_nothing():
    loss = cluster().eval()
    value, _ = step(loss, [0, 1, 3], 10)
    assert value == 0 and not loss.queues.seen.any() and not loss.made.any()


def test_the_next_step_goes_on_with_the_prototypes_there():
    """At once, and the classes that come get theirs at its start."""
    before, after = cluster(), cluster()
    step(before, [0, 1, 3], 10)
    after.load_state_dict(before.state_dict())
    value, _ = step(after, [2, 2], 0)
    assert value > 0 and after.made.tolist() == [1, 1, 0, 1]
    step(after, [2], 10)
    assert after.made.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(momentum=1.0), 'momentum must be .* got 1.0'),
        (dict(interval=0), 'interval must be .* got 0'),
        (dict(size=0), 'at least 1'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        cluster(**options)
