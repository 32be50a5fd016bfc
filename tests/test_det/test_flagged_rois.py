"""RoIs on objects that are flagged OOD leave the class and box losses.

Shapes: K classes, 16-channel maps of 64 px images.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict

from det_helpers import K, build_head, near_and_far, painted, sampled
from helpers import assert_near
from mmood.det.models.roi_tools import take_outliers

# Labels of the objects in two images.
BATCHES = {
    'some': [[2, -1, 0], [-1, 1]],
    'one image': [[3, 1], [-1, -1, -1]],
    'all': [[-1], [-1, -1]],
    'none': [[0, 1], [2]],
    'no objects': [[], []],
    'no known': [[], [-1]],
}
by_batch = pytest.mark.parametrize(
    'labels', BATCHES.values(), ids=BATCHES.keys()
)
MASKS = dict(
    mask_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
        out_channels=16,
        featmap_strides=[8],
    ),
    mask_head=dict(
        type='FCNMaskHead',
        num_convs=1,
        in_channels=16,
        conv_out_channels=8,
        num_classes=K,
        loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
    ),
)


def twins(**kwargs):
    """A head that knows of flags, and the stock one with its weights."""
    head = build_head(**kwargs)
    for key in ('loss_uncertainty', 'outliers'):
        kwargs.pop(key, None)
    stock = build_head(type='StandardRoIHead', **kwargs)
    missing, _ = stock.load_state_dict(head.state_dict(), strict=False)
    assert not missing
    return head, stock


def without_flagged(result, labels):
    """A sampling result made anew, of all RoIs but those on flagged ones."""
    flagged = torch.tensor(labels)[result.pos_assigned_gt_inds] < 0

    class Assigned:
        gt_inds = result.pos_assigned_gt_inds[~flagged] + 1
        labels = result.pos_gt_labels[~flagged]

    count, negatives = int((~flagged).sum()), len(result.neg_priors)
    boxes = torch.zeros(len(labels), 4)
    boxes[result.pos_assigned_gt_inds] = result.pos_gt_bboxes
    return SamplingResult(
        pos_inds=torch.arange(count),
        neg_inds=torch.arange(count, count + negatives),
        priors=torch.cat([result.pos_priors[~flagged], result.neg_priors]),
        gt_bboxes=boxes,
        assign_result=Assigned,
        gt_flags=result.pos_is_gt[~flagged],
    )


def rest_of(results, labels):
    return [without_flagged(r, part) for r, part in zip(results, labels)]


# -------------------------------------------------------------- sampling
def test_the_flag_survives_assigner_and_sampler():
    """Even where only the annotated box itself is on the object."""
    data = painted([2, -1], [-1])
    near = near_and_far(data, copies=0, others=0)
    for props in (near, near_and_far(data)):
        results = sampled(build_head(), props, data)
        for result, sample in zip(results, data):
            gt = sample.gt_instances
            found = gt.labels[result.pos_assigned_gt_inds]
            assert torch.equal(result.pos_gt_labels, found)
            assert (result.pos_gt_labels < 0).any()
    flagged = take_outliers(sampled(build_head(), near, data))
    expected = bbox2roi(
        [data[0].gt_instances.bboxes[1:], data[1].gt_instances.bboxes]
    )
    assert torch.equal(flagged, expected)


@by_batch
def test_flagged_rois_are_taken_out_and_the_rest_is_whole(labels):
    data = painted(*labels)
    results = sampled(build_head(), near_and_far(data), data)
    given, before = list(results), copy.deepcopy(results)
    flagged = take_outliers(results)
    expected = bbox2roi(
        [res.pos_priors[res.pos_gt_labels < 0] for res in given]
    )
    assert torch.equal(flagged, expected)
    for result, reference in zip(results, rest_of(given, labels)):
        for name in (
            'pos_priors',
            'neg_priors',
            'pos_is_gt',
            'pos_assigned_gt_inds',
            'pos_gt_labels',
            'pos_gt_bboxes',
        ):
            one, other = getattr(result, name), getattr(reference, name)
            assert torch.equal(one, other), name
        for name in ('num_pos', 'num_neg', 'avg_factor', 'num_gts'):
            assert getattr(result, name) == getattr(reference, name)
        assert len(result.pos_inds) == len(result.pos_priors)
    # The caller's entries are the same as ever, whether replaced or not.
    for entry, untouched, result in zip(given, before, results):
        has_flags = bool((entry.pos_gt_labels < 0).any())
        assert (entry is not result) == has_flags
        for name, value in vars(untouched).items():
            same = getattr(entry, name) == value
            assert same if isinstance(same, bool) else same.all()


def test_the_average_without_negatives_counts_positives_alone():
    data = painted([-1, 1, 2])
    results = sampled(build_head(), near_and_far(data), data)
    results[0].avg_factor_with_neg = False
    positives = int((results[0].pos_gt_labels >= 0).sum())
    take_outliers(results)
    assert results[0].avg_factor == results[0].num_pos == positives > 1


# ---------------------------------------------------------------- losses
@by_batch
def test_class_and_box_losses_are_the_stock_heads_on_the_rest(labels):
    head, stock = twins()
    x, data = (torch.randn(2, 16, 8, 8),), painted(*labels)
    results = sampled(head, near_and_far(data), data)
    reference = stock.bbox_loss(x, rest_of(results, labels))
    ours = head.bbox_loss(x, results)
    assert set(ours['loss_bbox']) == {'loss_cls', 'loss_bbox', 'acc'}
    for name, value in reference['loss_bbox'].items():
        assert_near(ours['loss_bbox'][name], value)
    assert_near(ours['cls_score'], reference['cls_score'])


def test_averages_are_over_the_rest():
    """By hand: cross entropy over the RoIs that are left."""
    head, labels = build_head(), BATCHES['some']
    x, data = (torch.randn(2, 16, 8, 8),), painted(*labels)
    results = sampled(head, near_and_far(data), data)
    priors, targets = [], []
    for i, result in enumerate(results):
        known = result.pos_gt_labels >= 0
        assert 0 < known.sum() < len(known)
        boxes = torch.cat([result.pos_priors[known], result.neg_priors])
        priors.append(F.pad(boxes, (1, 0), value=i))
        negatives = torch.full((len(result.neg_priors),), K)
        targets += [result.pos_gt_labels[known], negatives]
    logits = head._bbox_forward(x, torch.cat(priors))['cls_score']
    expected = F.cross_entropy(logits, torch.cat(targets))
    value = head.bbox_loss(x, results)['loss_bbox']['loss_cls']
    torch.testing.assert_close(value, expected)


@by_batch
def test_the_whole_head_learns_as_the_stock_one_and_has_gradients(labels):
    """By `loss`, with a random choice of RoIs; also without an OOD loss."""
    energy = dict(type='mmood.EnergyOODLoss')
    for kwargs in ({}, dict(outliers='annotated', loss_uncertainty=energy)):
        head, stock = twins(**kwargs)
        x, data = (
            torch.randn(2, 16, 8, 8, requires_grad=True),
            painted(*labels),
        )
        props = near_and_far(data, copies=6, others=40)
        torch.manual_seed(5)
        reference = rest_of(sampled(stock, props, data), labels)
        reference = stock.bbox_loss((x,), reference)['loss_bbox']
        torch.manual_seed(5)
        losses = head.loss((x,), props, data)
        assert ('loss_uncertainty' in losses) == bool(kwargs)
        for name, value in reference.items():
            assert_near(losses[name], value)
        sum(v for k, v in losses.items() if 'loss' in k).backward()
        assert x.grad.isfinite().all() and x.grad.abs().sum() > 0
        for name, parameter in head.named_parameters():
            assert parameter.grad.isfinite().all(), name


@by_batch
def test_masks_are_learned_of_known_objects_alone(labels):
    head = build_head()
    head, stock = twins(
        **MASKS, train_cfg=ConfigDict(head.train_cfg, mask_size=14)
    )
    x, data = (torch.randn(2, 16, 8, 8),), painted(*labels)
    for sample in data:
        masks = torch.rand(len(sample.gt_instances), 64, 64) > 0.5
        sample.gt_instances.masks = BitmapMasks(masks.byte().numpy(), 64, 64)
    props = near_and_far(data)
    torch.manual_seed(5)
    rest = rest_of(sampled(stock, props, data), labels)
    objects = [sample.gt_instances for sample in data]
    reference = stock.mask_loss(x, rest, None, objects)['loss_mask']
    torch.manual_seed(5)
    losses = head.loss(x, props, data)
    assert_near(losses['loss_mask'], reference['loss_mask'])
    has_known = any(label >= 0 for part in labels for label in part)
    assert (losses['loss_mask'] > 0) == has_known
