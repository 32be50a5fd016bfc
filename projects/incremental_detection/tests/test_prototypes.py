"""Distances and the gap of hand-made prototypes."""

import pytest
import torch

from helpers import assert_near
from mmood.losses import BACKGROUND, IGNORE, Batch
from projects.incremental_detection.incremental_detection import (
    ClassPrototypes,
)
from projects.incremental_detection.incremental_detection.prototypes import (
    class_distances,
    task_gap,
)

EYE = torch.eye(4)


def test_distances_by_hand():
    first = torch.tensor([[0.0, 0.0], [1.0, 3.0]])
    second = torch.tensor([[0.0, 2.0], [1.0, 3.0], [4.0, 0.0]])
    expected = torch.tensor([[2.0, 5.0, 8.0], [1.0, 0.0, 9.0]])
    assert_near(class_distances(first, second), expected)


@pytest.mark.parametrize(
    'new, old, expected',
    [
        (EYE[:2], EYE[:2], 0.0),  # equal
        (EYE[2:], EYE[:2], 0.0),  # orthogonal, as the old ones are
        (2 * EYE[2:], EYE[:2], 1 - 2 / 5),  # 2 / 4 between, (4 + 1) / 4 away
        (EYE[2:], torch.stack([EYE[0], EYE[0]]), 1.0),  # old ones on a point
        (EYE[2:], EYE[:1], 1.0),  # one old class
        (EYE[:1], EYE[:1], 0.0),
        (EYE[:0], EYE[:2], 0.0),
        (EYE[:2], EYE[:0], 0.0),
    ],
)
def test_gap_by_hand(new, old, expected):
    gap = task_gap(new, old)
    assert gap.dim() == 0
    assert_near(gap, torch.tensor(expected))


def test_the_nearest_old_class_counts_and_means_are_over_classes():
    old = torch.tensor([[0.0], [1.0], [3.0]])  # 1, 1 and 4 apart: 2
    new = torch.tensor([[5.0], [-4.0]])  # 4 and 16: 10
    assert_near(task_gap(new, old), torch.tensor(1 - 2 / 10))


def batch(features, labels):
    rows = len(labels)
    return Batch(
        logits=torch.zeros(rows, 5),
        labels=torch.tensor(labels),
        features=torch.tensor(features),
        num_classes=4,
    )


def test_prototypes_are_means_and_old_ones_stay():
    base = ClassPrototypes(4, 2, size=2)
    features = [[9.0, 9.0], [1.0, 0.0], [3.0, 2.0], [0.0, 4.0], [7.0, 7.0]]
    labels = [0, 0, 0, 1, BACKGROUND]
    assert base(batch(features, labels)) == {}
    assert base.gap() == 0
    means = base.queues.means
    assert_near(means[:2], torch.tensor([[2.0, 1.0], [0.0, 4.0]]))

    step = ClassPrototypes(4, 2, num_old=2, size=2)
    step.load_state_dict(base.state_dict())
    assert step.gap() == 0  # without a new class
    later = [[50.0, 50.0], [6.0, 5.0], [8.0, 7.0]]
    step(batch(later, [0, 2, IGNORE]))
    assert torch.equal(step.queues.means[:2], means[:2])
    assert step.queues.counts.tolist() == [2, 1, 1, 0]
    # (4^2 + 4^2) / 2 from the first; (2^2 + 3^2) / 2 between the old ones.
    # The class without an object has no prototype.
    assert_near(step.gap(), torch.tensor(1 - 6.5 / 16))


def test_a_step_without_an_object():
    made = ClassPrototypes(4, 2, num_old=2)
    assert made(batch([[1.0, 1.0]], [BACKGROUND])) == {}
    assert made.gap() == 0 and not made.queues.counts.any()


@pytest.mark.parametrize('num_old', [-1, 5])
def test_classes_that_are_not_there_are_refused(num_old):
    with pytest.raises(ValueError, match=f'the 4 classes, got {num_old}'):
        ClassPrototypes(4, 2, num_old=num_old)
