"""Background RoIs that a box head takes for unknown objects.

Shapes: K = 4 known classes, label 4 unknown, 5 background.
"""

from __future__ import annotations

import copy

import pytest
import torch

from det_helpers import K, build_head, near_and_far, painted, sampled
from helpers import assert_near
from mmood.det.models.pseudo_unknown import PseudoUnknownTargets

UNKNOWN, BACKGROUND = K, K + 1


def pseudo_head(**kwargs):
    box_head = dict(
        type='mmood.PseudoUnknownBBoxHead',
        in_channels=16,
        fc_out_channels=32,
        roi_feat_size=5,
        num_classes=K + 1,
        reg_class_agnostic=True,
        **kwargs,
    )
    return build_head(
        type='mmood.OpenSetRoIHead', unknown_class=True, bbox_head=box_head
    )


def step(head, *labels):
    data = painted(*labels)
    return sampled(head, near_and_far(data), data)


@pytest.mark.parametrize('num_pseudo', [0, 1, 3])
def test_the_best_background_of_each_image_is_unknown(num_pseudo):
    head = pseudo_head(num_pseudo=num_pseudo)
    results = step(head, [3, 1], [], [2, 0, 0])
    labels = head.bbox_head.get_targets(results, head.train_cfg, False)[0]
    for own, res in zip(labels, results):
        count = len(res.pos_priors)
        assert torch.equal(own[:count], res.pos_gt_labels)
        # Proposals lie in the order of their objectness.
        best = set(sorted(res.neg_inds.tolist())[:num_pseudo])
        for place, label in zip(res.neg_inds.tolist(), own[count:].tolist()):
            assert label == (UNKNOWN if place in best else BACKGROUND)


def test_other_targets_are_the_parents():
    head = pseudo_head()
    results = step(head, [3, 1], [2])
    found = head.bbox_head.get_targets(results, head.train_cfg)
    parent = super(PseudoUnknownTargets, head.bbox_head)
    expected = parent.get_targets(results, head.train_cfg)
    assert (found[0] != expected[0]).sum() == len(results)
    for mine, theirs in zip(found[1:], expected[1:]):
        assert_near(mine, theirs)


def test_the_order_of_the_negatives_does_not_matter():
    head = pseudo_head()
    results = step(head, [3, 1])
    turned = copy.copy(results[0])
    turned.neg_inds = turned.neg_inds.flip(0)
    turned.neg_priors = turned.neg_priors.flip(0)
    first, second = (
        head.bbox_head.get_targets([res], head.train_cfg)[0]
        for res in (results[0], turned)
    )
    count = len(results[0].pos_priors)
    assert torch.equal(first[count:], second[count:].flip(0))
    assert first[count] == UNKNOWN


@pytest.mark.parametrize('left', [0, 2])
def test_fewer_negatives_than_wanted(left):
    head = pseudo_head(num_pseudo=3)
    (res,) = step(head, [3, 1])
    res.neg_inds, res.neg_priors = res.neg_inds[:left], res.neg_priors[:left]
    labels = head.bbox_head.get_targets([res], head.train_cfg)[0]
    expected = torch.cat([res.pos_gt_labels, torch.full((left,), UNKNOWN)])
    assert torch.equal(labels, expected)


def test_pseudo_unknown_boxes_are_not_learned():
    """The box loss is the one without them; that of the class is not."""
    head = pseudo_head()
    losses = []
    for num_pseudo in (1, 5):
        torch.manual_seed(0)
        head.bbox_head.num_pseudo = num_pseudo
        results = step(head, [3, 1], [2])
        maps = (torch.randn(2, 16, 8, 8),)
        losses.append(head.bbox_loss(maps, results)['loss_bbox'])
    box = [one['loss_bbox'] for one in losses]
    torch.testing.assert_close(box[0], box[1])
    assert box[0] > 0
    assert not torch.allclose(losses[0]['loss_cls'], losses[1]['loss_cls'])


def test_an_image_without_objects_has_a_gradient():
    head = pseudo_head()
    losses = head.bbox_loss(
        (torch.randn(1, 16, 8, 8),), step(head, [])
    )['loss_bbox']  # fmt: skip
    assert losses['loss_bbox'] == 0
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in head.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


def test_bad_argument():
    with pytest.raises(ValueError, match='num_pseudo must be at least 0, got'):
        pseudo_head(num_pseudo=-1)
