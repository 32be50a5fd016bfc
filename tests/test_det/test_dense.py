"""One-stage heads with scores: boxes as before, logits of their priors.

Shapes: K classes, 8-channel maps of a 64 x 96 px image.
"""

from functools import partial

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from dense_heads import (
    HEADS,
    K,
    config,
    maps,
    ood_head,
    plain_head,
    predict,
    samples,
)
from helpers import assert_near
from mmood.det.models.roi_tools import record_calls
from mmood.registry import MODELS
from mmood.scores import energy, joint_energy, msp

SIGMOID = [kind for kind in HEADS if kind != 'retina_softmax']


def kept_samples(head, x=None):
    head.keeps_samples = True
    boxes = predict(head, x)
    head.keeps_samples = False
    assert len(boxes[0])  # else a comparison says nothing
    return boxes


@pytest.mark.parametrize('kind', HEADS)
def test_boxes_are_those_of_the_plain_head(kind):
    plain = plain_head(kind)
    head = ood_head(kind, like=plain)
    found = predict(head)
    assert sum(map(len, found)) > 2
    for ours, theirs in zip(found, predict(plain)):
        for field in ('bboxes', 'scores', 'labels'):
            assert_near(ours[field], theirs[field])
        assert torch.equal(ours.ood_scores, ours.ood_scores_energy)
        assert 'places' not in ours


def priors_of(head, outputs):
    """Logits (n, K + extra) of all priors of the first image."""
    wide = head.cls_out_channels
    logits = [m[0].permute(1, 2, 0).reshape(-1, wide) for m in outputs[0]]
    return torch.cat(logits)


@pytest.mark.parametrize('kind', HEADS)
def test_logits_are_those_of_the_prior_that_made_the_box(kind):
    head, x = ood_head(kind), maps(1)
    with torch.no_grad():
        outputs = head(x)
    everything = priors_of(head, outputs)
    boxes = kept_samples(head, x)[0]
    logits = boxes.samples.logits
    # Each row is one of the priors', in full.
    distance = (logits[:, None] - everything[None, :, :K]).abs().sum(2)
    rows = distance.argmin(1)
    assert (distance.amin(1) < 1e-4).all()
    p = everything.sigmoid() if kind in SIGMOID else everything.softmax(1)
    own = p[rows, boxes.labels]
    if kind in ('retina', 'retina_softmax', 'gfl', 'rtmdet'):
        assert_near(boxes.scores, own)
        assert_near(boxes.max_class_scores, p[rows, :K].amax(1))
    else:  # an objectness or centerness takes its share of both
        assert (boxes.scores <= own + 1e-6).all()
        assert_near(
            boxes.max_class_scores / boxes.scores, p[rows, :K].amax(1) / own
        )
    assert (boxes.max_class_scores >= boxes.scores).all()


def test_several_classes_of_one_anchor_have_its_scores():
    head = ood_head('retina', test_cfg=dict(
        nms_pre=500, min_bbox_size=0, score_thr=0.0, max_per_img=500,
        nms=dict(type='nms', iou_threshold=0.9)))  # fmt: skip
    boxes = predict(head)[0]
    alike = (boxes.ood_scores[:, None] - boxes.ood_scores).abs() < 1e-6
    same = alike.sum(1)
    assert same.max() == K
    for row in alike[same == K][:3]:
        of_one = boxes[row]
        assert sorted(of_one.labels.tolist()) == list(range(K))
        best = of_one.scores.max().expand(K)
        assert_near(of_one.max_class_scores, best)


@pytest.mark.parametrize('kind', HEADS)
def test_the_energy_is_that_of_the_kind_of_logits(kind):
    head, x = ood_head(kind), maps(1)
    logits = kept_samples(head, x)[0].samples.logits
    boxes = predict(head, x)[0]
    if kind in SIGMOID:
        assert head.scores.kind == 'sigmoid'
        expected = joint_energy(logits), 1 - logits.sigmoid().amax(1)
    else:
        assert head.scores.kind == 'softmax'
        expected = energy(logits), msp(logits)
    assert_near(boxes.ood_scores_energy, expected[0])
    assert_near(boxes.ood_scores_msp, expected[1])


@pytest.mark.parametrize('kind', HEADS)
def test_features_are_what_the_classifier_sees_there(kind):
    head, x = ood_head(kind), maps(1)
    layers = set(head._layers)
    assert len(layers) == (3 if kind in ('yolox', 'rtmdet') else 1)
    boxes = kept_samples(head, x)[0]
    with record_calls(*layers) as calls, torch.no_grad():
        outputs = head(x)
    everything = priors_of(head, outputs)
    found = boxes.samples.logits[:, None] - everything[None, :, :K]
    row = found.abs().sum(2).argmin(1)
    maps_in = [maps_of for maps_of, _ in calls]
    count = outputs[0][0].shape[1] // head.cls_out_channels
    flat = [m[0].flatten(1).T.repeat_interleave(count, 0) for m in maps_in]
    assert_near(boxes.samples.features, torch.cat(flat)[row])


@pytest.mark.parametrize('kind', HEADS)
def test_no_box(kind):
    head = ood_head(kind, test_cfg=dict(
        nms_pre=50, min_bbox_size=0, score_thr=1.0, max_per_img=9,
        nms=dict(type='nms', iou_threshold=0.5)))  # fmt: skip
    for boxes in predict(head):
        assert boxes.bboxes.shape == (0, 4)
        for field in ('ood_scores', 'ood_scores_msp', 'max_class_scores'):
            assert boxes[field].shape == (0,)
        assert boxes.is_ood.shape == (0,) and boxes.is_ood.dtype == torch.bool


@pytest.mark.parametrize('kind', HEADS)
def test_nms_of_all_classes_together(kind):
    nms = dict(type='nms', iou_threshold=0.3, class_agnostic=True)
    test_cfg = dict(
        nms_pre=50, min_bbox_size=0, score_thr=0.0, max_per_img=9, nms=nms
    )
    plain = plain_head(kind, test_cfg=test_cfg)
    head, x = ood_head(kind, like=plain, test_cfg=test_cfg), maps(1)
    boxes, theirs = predict(head, x)[0], predict(plain, x)[0]
    for field in ('bboxes', 'scores', 'labels'):
        assert_near(boxes[field], theirs[field])
    logits = kept_samples(head, x)[0].samples.logits
    score = joint_energy if kind in SIGMOID else energy
    assert_near(boxes.ood_scores, score(logits))


SOFTMAX = dict(type='CrossEntropyLoss', use_sigmoid=False)


@pytest.mark.parametrize('kind', ['retina', 'fcos', 'atss'])
def test_a_sigmoid_losses_head_with_a_softmax_instead(kind):
    """``use_sigmoid=False``: its logits have a background, left out here."""
    plain = plain_head(kind, loss_cls=SOFTMAX)
    scores = ['energy', 'msp', 'entropy']
    head = ood_head(kind, scores, like=plain, loss_cls=SOFTMAX)
    assert head.cls_out_channels == K + 1 and head.scores.kind == 'softmax'
    x = maps(1)
    boxes, theirs = predict(head, x)[0], predict(plain, x)[0]
    for field in ('bboxes', 'scores', 'labels'):
        assert_near(boxes[field], theirs[field])
    logits = kept_samples(head, x)[0].samples.logits
    assert logits.shape == (len(boxes), K) and len(boxes)
    assert_near(boxes.ood_scores_energy, energy(logits))
    assert_near(boxes.ood_scores_msp, msp(logits))


def test_yolox_has_sigmoids_whatever_its_loss():
    """It predicts by sigmoids; ``use_sigmoid=False`` is the loss's alone."""
    loss = dict(SOFTMAX, reduction='sum')
    plain = plain_head('yolox', loss_cls=loss)
    head = ood_head('yolox', like=plain, loss_cls=loss)
    assert head.scores.kind == 'sigmoid'
    assert_near(predict(head)[0].scores, predict(plain)[0].scores)


@pytest.mark.parametrize('kind', HEADS)
def test_mixed_precision_scores_what_it_sees(kind):
    """All boxes: MMCV's NMS has no half precision on a CPU."""
    test_cfg = dict(nms_pre=20, min_bbox_size=-1, score_thr=0.0)
    head, x = ood_head(kind, test_cfg=ConfigDict(test_cfg)), maps(1)
    head.predict_by_feat = partial(head.predict_by_feat, with_nms=False)
    with torch.autocast('cpu', torch.bfloat16):
        boxes, kept = predict(head, x)[0], kept_samples(head, x)[0]
    rows = kept.samples
    assert rows.logits.dtype == torch.bfloat16 and len(rows.logits) > 10
    score = joint_energy if kind in SIGMOID else energy
    expected = score(rows.logits.float())
    assert_near(boxes.ood_scores.float(), expected, rtol=1e-2, atol=5e-2)


@pytest.mark.parametrize('kind', ['float16', 'bfloat16'])
@pytest.mark.parametrize('family', ['retina', 'fcos', 'yolox', 'rtmdet'])
def test_half_precision_finds_the_same_priors(family, kind):
    dtype = getattr(torch, kind)
    head = ood_head(family)
    with torch.no_grad():
        outputs = head(maps(1))
    half = [[m.to(dtype) for m in part] for part in outputs]
    head._layers = ()  # the maps that they are made of are not there
    metas = [samples(1)[0].metainfo]
    boxes = head.predict_by_feat(*half, batch_img_metas=metas, with_nms=False)[
        0
    ]
    p = priors_of(head, half).sigmoid()[boxes.places]
    own = p.gather(1, boxes.labels[:, None])[:, 0]
    assert (boxes.scores.float() <= own.float() + 1e-2).all()
    if family in ('retina', 'rtmdet'):
        assert_near(boxes.scores.float(), own.float(), atol=1e-2)


def test_what_cannot_be_scored_says_why():
    cases = dict(
        odin='odin.* reads inputs: a one-stage head classifies maps',
        entropy='entropy.* softmax and mask logits, and these are of sigmoid',
    )
    for score, message in cases.items():
        with pytest.raises(ValueError, match=message):
            ood_head('retina', scores=[score])
    for kind, reason in (
        ('retina', 'other weights for each of 6 anchors'),
        ('fcos', r'convolution of \(3, 3\) pixels'),
        ('yolox', 'each level has a layer of its own'),
    ):
        with pytest.raises(ValueError, match=f'react.*{reason}'):
            ood_head(kind, scores=['react'])
    with pytest.raises(ValueError, match='knn.*not the outputs of one layer'):
        ood_head('rtmdet', scores=['knn'], with_objectness=True)


def test_an_objectness_in_the_logits_leaves_scores_of_logits():
    head = ood_head('rtmdet', with_objectness=True)
    boxes = predict(head)[0]
    assert boxes.ood_scores_energy.isfinite().all() and len(boxes) > 3


def test_a_linear_classifier_is_there_where_there_is_one():
    head = ood_head('unseen', scores=['energy', dict(type='ash', kind='S')])
    rows = kept_samples(head)[0].samples
    assert_near(rows.classifier(rows.features), rows.logits)


def test_the_trial_changes_nothing():
    cfg = config('rtmdet')
    torch.manual_seed(3)
    plain = MODELS.build(dict(cfg))
    expected = torch.rand(1)
    of = cfg.pop('type')
    torch.manual_seed(3)
    head = MODELS.build(dict(type='mmood.OODHead', of=f'mmdet.{of}', **cfg))
    assert torch.equal(torch.rand(1), expected)
    ours = head.state_dict()
    for name, value in plain.state_dict().items():
        assert torch.equal(ours[name], value)
    assert all(m.training for m in head.modules())


def test_results_are_instance_data():
    assert all(isinstance(r, InstanceData) for r in predict(ood_head('gfl')))
