"""What heads assign, out of the forms in which they say it.

Shapes: 3 classes.
"""

import torch

from mmood.det.models.targets import assigned_labels, left_out
from mmood.losses import BACKGROUND, IGNORE, OUTLIER


def test_labels_of_anchors():
    labels, weights = torch.tensor([3, 0, 2, 3]), torch.tensor([1.0, 1, 1, 0])
    found = assigned_labels((labels, weights, torch.rand(4, 4)), 3)
    assert found.tolist() == [BACKGROUND, 0, 2, IGNORE]
    shifted = (torch.rand(4, 4), labels, weights, torch.rand(4, 4))
    assert assigned_labels(shifted, 3).tolist() == found.tolist()
    assert assigned_labels((labels, torch.rand(4, 4)), 3).tolist() == [
        BACKGROUND, 0, 2, BACKGROUND]  # fmt: skip


def test_labels_of_a_mask():
    mask = torch.tensor([False, True, True])
    classes = torch.tensor([[0, 0.9, 0], [0.4, 0, 0]])
    found = assigned_labels((mask, classes, torch.rand(3, 1)), 3)
    assert found.tolist() == [BACKGROUND, 1, 0]
    none = assigned_labels((torch.zeros(3).bool(), torch.zeros(0, 3)), 3)
    assert none.tolist() == [BACKGROUND] * 3


def test_what_says_nothing_of_classes():
    mask = torch.rand(4, 2) > 0.5
    assert assigned_labels((mask, torch.rand(4, 4)), 3) is None
    assert assigned_labels((None, None, None), 3) is None


def test_labels_of_flagged_objects_without_weights():
    labels = torch.tensor([3, -1, 2])
    found = assigned_labels((labels, torch.rand(3, 4)), 3)
    assert found.tolist() == [BACKGROUND, OUTLIER, 2]


def test_flagged_rows_lose_their_weight():
    labels, weights = torch.tensor([3, 0, 3]), torch.ones(3)
    flagged = torch.tensor([False, False, True])
    for targets in (
        (labels, weights, torch.rand(3, 4)),
        (torch.rand(3, 4), labels, weights),
    ):
        weights.fill_(1)
        before = assigned_labels(targets, 3)
        found = left_out(targets, before, flagged)
        assert found.tolist() == [BACKGROUND, 0, OUTLIER]
        assert weights.tolist() == [1, 1, 0]


def test_flagged_rows_lose_their_objectness():
    mask, objectness = torch.tensor([False, True, False]), torch.zeros(3, 1)
    targets = mask, torch.tensor([[0, 0.9, 0]]), objectness
    flagged = torch.tensor([True, False, False])
    found = left_out(targets, assigned_labels(targets, 3), flagged)
    assert found.tolist() == [OUTLIER, 1, BACKGROUND]
    assert objectness[:, 0].tolist() == [-1, 0, 0]


def test_targets_that_cannot_leave_a_row_out():
    labels = torch.tensor([3, 0])
    flagged = torch.tensor([True, False])
    assert left_out((labels, torch.rand(2, 4)), labels, flagged) is None
