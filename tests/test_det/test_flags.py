"""Flagged objects: where they are found, and how they are ignored."""

import pytest
import torch
from mmdet.models.losses import FocalLoss
from mmdet.models.task_modules import HungarianAssigner, MaxIoUAssigner
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from helpers import assert_near
from mmood.det.models.flags import (
    FlagAssigner,
    is_taught,
    seen_classes,
    with_flagged,
    without_negatives,
)


def instances(boxes, labels, **more):
    boxes = torch.tensor(boxes, dtype=torch.float).reshape(-1, 4)
    labels = torch.tensor(labels, dtype=torch.long)
    return InstanceData(bboxes=boxes, labels=labels, **more)


def sample(labels, ignored=None):
    found = DetDataSample(metainfo=dict(img_id=3))
    boxes = [[i, 0, i + 9, 9] for i in range(len(labels))]
    found.gt_instances = instances(boxes, labels)
    found.gt_instances.ood = found.gt_instances.labels < 0
    if ignored is not None:
        found.ignored_instances = ignored
    return found


def test_flagged_objects_that_were_packed_apart_come_back():
    apart = instances(
        [[50, 0, 59, 9], [60, 0, 69, 9]],
        [-1, 2],
        ood=torch.tensor([True, False]),
    )
    given = [sample([1, 0], apart), sample([2])]
    found, has_flags = with_flagged(given)
    assert has_flags
    first, second = found
    assert first.gt_instances.labels.tolist() == [1, 0, -1]
    assert first.gt_instances.bboxes[:, 0].tolist() == [0, 1, 50]
    assert first.ignored_instances.labels.tolist() == [2]
    assert first.img_id == 3
    assert second is given[1]
    assert given[0].gt_instances.labels.tolist() == [1, 0]
    assert len(given[0].ignored_instances) == 2


def test_whether_anything_is_flagged():
    crowd = instances([[0, 0, 9, 9]], [-1])  # of no flag
    assert with_flagged([sample([0]), sample([], crowd)])[1] is False
    assert with_flagged([sample([0]), sample([0, -1])])[1] is True
    none = instances([], [], ood=torch.zeros(0).bool())
    samples, has_flags = with_flagged([sample([], none)])
    assert not has_flags and len(samples[0].gt_instances) == 0


PRIORS = [[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40], [80, 0, 90, 9]]


def assign(objects, **more):
    assigner = MaxIoUAssigner(pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
    ours = FlagAssigner(assigner, 3)
    seen = InstanceData(priors=torch.tensor(PRIORS).float())
    return ours, ours.assign(seen, objects), assigner.assign(seen, objects)


def test_priors_on_flagged_objects_are_ignored():
    objects = instances([[1, 0, 11, 10], [30, 30, 40, 40]], [-1, 2])
    ours, found, stock = assign(objects)
    assert stock.gt_inds.tolist() == [1, 1, 2, 0]
    assert found.gt_inds.tolist() == [-1, -1, 2, 0]
    assert ours.flagged.tolist() == [True, True, False, False]
    assert found.labels[2] == 2
    assert objects.labels.tolist() == [-1, 2]
    assert ours.pos_iou_thr == 0.5  # as of the assigner itself


def test_a_known_and_a_flagged_object_compete():
    objects = instances([[0, 0, 10, 10], [1, 0, 11, 10]], [1, -1])
    ours, found, _ = assign(objects)
    assert found.gt_inds.tolist() == [1, -1, 0, 0]
    assert ours.flagged.tolist() == [False, True, False, False]


@pytest.mark.parametrize('labels', [[], [1, 2]])
def test_without_flags_it_is_the_assigner(labels):
    objects = instances(PRIORS[: len(labels)], labels)
    ours, found, stock = assign(objects)
    assert torch.equal(found.gt_inds, stock.gt_inds)
    assert torch.equal(found.labels, stock.labels)
    assert ours.flagged is None or not ours.flagged.any()


def test_where_classes_count_it_is_of_the_class_that_is_seen():
    """By class costs alone each query goes to the object of its class."""
    assigner = HungarianAssigner(dict(type='mmdet.FocalLossCost'))
    queries = torch.tensor([[9.0, 0, 0], [0, 0, 9], [0, 9, 0]])
    boxes = torch.tensor(PRIORS[1:]).float()
    seen = InstanceData(scores=queries, bboxes=boxes)
    objects = instances([[80, 0, 90, 9], [0, 0, 1, 1]], [-1, 0])
    # The third query overlaps the flagged object, and says class 1.
    assert seen_classes(seen, objects.bboxes, 3)[0] == 1
    ours = FlagAssigner(assigner, 3)
    found = ours.assign(seen, objects, img_meta=dict(img_shape=(99, 99)))
    assert found.gt_inds.tolist() == [2, 0, -1]
    assert ours.flagged.tolist() == [False, False, True]


def test_a_class_is_one_of_the_known():
    queries = torch.tensor([[1.0, 2, 0, 9]])  # the last is the background
    seen = InstanceData(scores=queries, bboxes=torch.zeros(1, 4))
    assert seen_classes(seen, torch.rand(2, 4), 3).tolist() == [1, 1]
    bare = InstanceData(priors=torch.zeros(1, 4))
    assert seen_classes(bare, torch.rand(2, 4), 3).tolist() == [0, 0]


def test_rows_of_negative_target_do_not_count():
    loss, rows = FocalLoss(), torch.randn(5, 3, requires_grad=True)
    targets = torch.tensor([0, -1, 3, 2, -1])
    counts = targets >= 0
    with without_negatives(loss, None):
        value = loss(rows, targets, avg_factor=2.0)
        none = loss(rows, torch.full((5,), -1), avg_factor=1.0)
        weighted = loss(rows, targets.clamp(min=0), torch.ones(5))
    assert_near(value, loss(rows[counts], targets[counts], avg_factor=2.0))
    assert none == 0 and none.requires_grad
    assert_near(weighted, loss(rows, targets.clamp(min=0), torch.ones(5)))
    grad = torch.autograd.grad(value, rows)[0].abs().sum(1)
    assert torch.equal(grad > 0, counts)
    assert not loss._forward_pre_hooks


def test_what_is_taught():
    layer = torch.nn.Linear(2, 3)
    one, other = layer(torch.randn(4, 2)), layer(torch.randn(5, 2))
    losses = dict(loss_cls=[one[:2].sum(), other[1:].exp().sum()])
    outputs = [one, other]
    assert is_taught(losses, one[1:3], outputs)
    assert not is_taught(losses, one[2:], outputs)
    assert not is_taught(losses, other[:1], outputs)
    assert not is_taught(losses, torch.cat([one[2:], other[:1]]), outputs)
    assert is_taught(losses, torch.cat([one[2:], other]), outputs)
    assert not is_taught(dict(acc=one.sum()), one[2:].detach(), outputs)
