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

from det_helpers import K, build_head, near_and_far, painted, sampled
from helpers import assert_near
from mmood.det.models.roi_tools import take_flagged

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
DREAM_BOX = dict(
    losses=[dict(type='mmood.EnergyOODLoss')],
    outliers=dict(type='mmood.AnnotatedOutliers'),
)


def twins(kind='standard', **kwargs):
    """A head that knows of flags, and the stock one with its weights."""
    head = build_head(kind, **kwargs)
    stock = build_head(kind, stock=True)
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
    flagged = take_flagged(sampled(build_head(), near, data))
    expected = bbox2roi(
        [data[0].gt_instances.bboxes[1:], data[1].gt_instances.bboxes]
    )
    assert torch.equal(flagged.rois, expected)
    assert flagged.proposals.shape == (0, 5)  # they were annotated


@by_batch
def test_flagged_rois_are_taken_out_and_the_rest_is_whole(labels):
    data = painted(*labels)
    results = sampled(build_head(), near_and_far(data), data)
    given, before = list(results), copy.deepcopy(results)
    flagged = take_flagged(results)
    is_ood = [res.pos_gt_labels < 0 for res in given]
    expected = [res.pos_priors[flag] for res, flag in zip(given, is_ood)]
    assert torch.equal(flagged.rois, bbox2roi(expected))
    expected = [
        res.pos_priors[flag & (res.pos_is_gt == 0)]
        for res, flag in zip(given, is_ood)
    ]
    assert torch.equal(flagged.proposals, bbox2roi(expected))
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
    for entry, untouched in zip(given, before):
        for name, value in vars(untouched).items():
            same = getattr(entry, name) == value
            assert same if isinstance(same, bool) else same.all()


def test_the_average_without_negatives_counts_positives_alone():
    data = painted([-1, 1, 2])
    results = sampled(build_head(), near_and_far(data), data)
    results[0].avg_factor_with_neg = False
    positives = int((results[0].pos_gt_labels >= 0).sum())
    take_flagged(results)
    assert results[0].avg_factor == results[0].num_pos == positives > 1


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
    for kwargs in ({}, DREAM_BOX):
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


def add_masks(data):
    for sample in data:
        masks = torch.rand(len(sample.gt_instances), 64, 64) > 0.5
        sample.gt_instances.masks = BitmapMasks(masks.byte().numpy(), 64, 64)


@by_batch
def test_masks_are_learned_of_known_objects_alone(labels):
    head, stock = twins('mask')
    x, data = (torch.randn(2, 16, 8, 8),), painted(*labels)
    add_masks(data)
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


def recorded(head, x, props, data):
    """Losses of a cascade, and what each stage's `bbox_loss` was given."""
    given, whole = [], head.bbox_loss

    def record(stage, x, results):
        given.append(list(results))
        return whole(stage, x, results)

    head.bbox_loss = record
    torch.manual_seed(5)
    return head.loss(x, copy.deepcopy(props), data), given


@by_batch
@pytest.mark.parametrize('kind', ['cascade', 'cascade_mask'])
def test_no_stage_of_a_cascade_learns_from_flagged_objects(kind, labels):
    """Each stage's losses are the stock stage's on the rest of its RoIs."""
    head, stock = twins(kind, **DREAM_BOX)
    x, data = (torch.randn(2, 16, 8, 8),), painted(*labels)
    add_masks(data)
    props = near_and_far(data, copies=6)
    losses, given = recorded(head, x, props, data)
    assert len(given) == 3
    objects = [sample.gt_instances for sample in data]
    for stage, (results, weight) in enumerate(zip(given, (1, 0.5, 0.25))):
        rest = rest_of(results, labels)
        reference = stock.bbox_loss(stage, x, rest)['loss_bbox']
        if kind == 'cascade_mask':
            masks = stock.mask_loss(stage, x, rest, objects)
            reference.update(masks['loss_mask'])
        for name, value in reference.items():
            value = value * weight if 'loss' in name else value
            assert_near(losses[f's{stage}.{name}'], value)
        flagged = sum(int((r.pos_gt_labels < 0).sum()) for r in results)
        assert (flagged > 0) == any(-1 in part for part in labels)


def test_flagged_rois_are_refined_from_stage_to_stage():
    """As the known ones are, by the class that the stage sees in them."""
    head, data = build_head('cascade', **DREAM_BOX), painted([2, -1], [-1])
    x = (torch.randn(2, 16, 8, 8),)
    props = near_and_far(data, copies=8)
    _, given = recorded(head, x, props, data)
    proposed = take_flagged(list(given[0])).proposals
    assert len(proposed) > 4
    results = head._bbox_forward(0, x, proposed)
    expected = head.bbox_head[0].regress_by_class(
        proposed[:, 1:],
        results['cls_score'][:, :K].argmax(1),
        results['bbox_pred'],
        data[0].metainfo,
    )
    found = take_flagged(list(given[1])).proposals[:, 1:]
    assert len(found)
    # Each of the second stage is one that the first stage has moved.
    gap = (found[:, None] - expected).abs().amax(2).amin(1)
    assert gap.max() < 1e-3
