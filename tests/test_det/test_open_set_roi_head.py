"""The open-set RoI head: batches for losses, the label 'unknown'.

Shapes: K = 4 known classes, C = 32 box features, 16-channel maps of 64 px.
"""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import nn
from torch.nn.functional import normalize

from det_helpers import (
    K,
    build_head,
    near_and_far,
    painted,
    predict,
    proposals,
    sampled,
    samples,
)
from helpers import assert_near
from mmood.det.models import OpenSetRoIHead
from mmood.det.models.open_set_boxes import assigned_ious, merge_label
from mmood.det.models.roi_tools import record_calls
from mmood.losses import BACKGROUND, OpenSetLoss
from mmood.registry import MODELS
from mmood.scores import energy


@MODELS.register_module(force=True)
class OpenSetSpy(OpenSetLoss):
    """Keeps its batches; its loss is the sum of the unknown's logits."""

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.sizes = num_classes, in_channels
        self.batches = []

    def forward(self, batch):
        self.batches.append(batch)
        return dict(loss_spy=batch.logits[:, batch.num_classes].sum())


def box_head(unknown_class):
    return dict(
        type='Shared2FCBBoxHead',
        in_channels=16,
        fc_out_channels=32,
        roi_feat_size=5,
        num_classes=K + unknown_class,
        reg_class_agnostic=unknown_class,
    )


def open_set_head(unknown_class=False, **kwargs):
    """A head with a class for the unknown, or one for rejections."""
    kwargs.setdefault('bbox_head', box_head(unknown_class))
    return build_head(
        type='mmood.OpenSetRoIHead', unknown_class=unknown_class, **kwargs
    )


def spied(**kwargs):
    return open_set_head(
        True, losses=[dict(type='mmood.OpenSetSpy')], **kwargs
    )


def inputs_of(count=2):
    """Maps, proposals and samples of a prediction."""
    maps = (torch.randn(count, 16, 8, 8),)
    return maps, [proposals(20) for _ in range(count)], samples(count)


def losses_of(head, props, data):
    x = torch.randn(len(data), 16, 8, 8, requires_grad=True)
    return head.loss((x,), copy.deepcopy(props), data), x


def fields(result: InstanceData) -> dict:
    return {k: v for k, v in result.items() if k not in ('labels', 'is_ood')}


def test_without_an_argument_it_is_the_parent():
    parent, head = build_head(), open_set_head()
    parent.bbox_head = head.bbox_head
    batch = inputs_of()
    for a, b in zip(
        predict(parent, *copy.deepcopy(batch)), predict(head, *batch)
    ):
        assert len(a) > 0
        for key, value in a.items():
            assert_near(value, b[key])
    data = painted([0, 1], [2])
    props = near_and_far(data)
    results = []
    for one in (parent, head):
        torch.manual_seed(5)
        results.append(losses_of(one, props, data)[0])
    assert results[0].keys() == results[1].keys()
    for key, value in results[0].items():
        assert_near(value, results[1][key])


def test_losses_get_what_happened_in_the_step():
    hub = MessageHub.get_current_instance()
    hub.update_info('iter', 6)
    hub.update_info('max_iters', 30)
    try:
        head = spied()
        spy = head.losses['OpenSetSpy']
        assert spy.sizes == (K, 32)
        data = painted([3, 1], [2, 0, 0])
        props = near_and_far(data)
        results = sampled(head, props, data)
        maps = (torch.randn(2, 16, 8, 8),)
        with record_calls(head.bbox_head.fc_cls) as calls:
            head.bbox_loss(maps, copy.copy(results))
        losses = head.ood_losses(maps)
    finally:
        for key in ('iter', 'max_iters'):
            hub.runtime_info.pop(key)

    (batch,) = spy.batches
    torch.testing.assert_close(losses['loss_spy'], batch.logits[:, K].sum())
    assert batch.num_classes == K and batch.logits.shape[1] == K + 2
    features, logits = calls[0]
    assert torch.equal(batch.features, features)
    assert_near(batch.logits, logits)
    assert_near(head.bbox_head(batch.inputs)[0], logits)
    again = batch.view(batch.inputs)
    assert_near(again.logits, logits[:, :K])
    assert_near(batch.classify(again.features), logits)
    background = [torch.full((len(r.neg_inds),), BACKGROUND) for r in results]
    labels = [
        part
        for r, none in zip(results, background)
        for part in (r.pos_gt_labels, none)
    ]
    assert torch.equal(batch.labels, torch.cat(labels))
    assert set(batch.labels.tolist()) == {0, 1, 2, 3, BACKGROUND}
    assert torch.equal(batch.ious, assigned_ious(results))
    assert (batch.iteration, batch.progress) == (6, pytest.approx(0.2))


@pytest.mark.parametrize('labels', [([], []), ([1],), ([],)])
def test_images_without_objects_have_gradients(labels):
    head = spied()
    data = painted(*labels)
    losses, x = losses_of(head, near_and_far(data), data)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in head.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
    assert torch.isfinite(x.grad).all()
    (batch,) = head.losses['OpenSetSpy'].batches
    assert batch.is_known.any() == any(labels)


@pytest.mark.parametrize('num_pseudo', [None, 2])
def test_energies_are_kept_of_known_and_of_what_is_taken_for_unknown(
    num_pseudo,
):
    options = dict(scores=['ore'], losses=[dict(type='mmood.EnergyWeibulls')])
    if num_pseudo:
        options['bbox_head'] = dict(
            box_head(True),
            type='mmood.PseudoUnknownBBoxHead',
            num_pseudo=num_pseudo,
        )
    head = open_set_head(True, **options)
    data = painted([3, 1], [2])
    losses, _ = losses_of(head, near_and_far(data), data)
    assert not any('energies' in name for name in losses)
    known, unknown = head.losses['EnergyWeibulls'].queues.seen.tolist()
    assert known >= 3 and unknown == 2 * (num_pseudo or 0)
    assert 'losses.EnergyWeibulls.queues.memory' in head.state_dict()


def test_scores_see_the_known_logits_alone():
    head = open_set_head(True)
    head.test_cfg.score_thr = 0.0
    with torch.no_grad():
        head.bbox_head.fc_cls.bias[K] = 3.0  # unknown
    with record_calls(head.bbox_head.fc_cls) as calls:
        results = predict(head, *inputs_of(1))
    scores = energy(calls[0][1][:, :K])
    gaps = (results[0].ood_scores[:, None] - scores).abs().amin(1)
    assert gaps.max() < 1e-5


def test_boxes_of_the_unknown_class_are_unknown():
    head = open_set_head(True)
    head.test_cfg.update(score_thr=0.0, max_per_img=100)
    result = predict(head, *inputs_of(1))[0]
    assert set(result.labels.tolist()) == set(range(K + 1))
    assert torch.equal(result.is_ood, result.labels == K)


@pytest.fixture
def rejecting():
    """A head that rejects, the same one that does not, their inputs."""
    torch.manual_seed(1)
    head = open_set_head(rejects=True)
    head.test_cfg.score_thr = 0.15
    nn.init.normal_(head.bbox_head.fc_cls.weight)
    plain = build_head(test_cfg=copy.deepcopy(head.test_cfg))
    plain.bbox_head = head.bbox_head
    batch = inputs_of()
    expected = predict(plain, *copy.deepcopy(batch))
    return head, batch, expected


@pytest.mark.parametrize('calibrated', [True, False])
def test_boxes_are_rejected_by_their_first_score(rejecting, calibrated):
    head, batch, expected = rejecting
    # Between two scores: they are computed once more.
    scores = torch.cat([r.ood_scores for r in expected]).sort()[0]
    middle = scores[len(scores) // 2 - 1 :][:2].mean()
    if calibrated:
        head.scores.thresholds['energy'].fill_(middle)
    else:
        head.reject_above = float(middle)
    dropped = 0
    for result, before in zip(predict(head, *batch), expected):
        known, is_ood = result.labels < K, before.ood_scores > middle
        assert torch.equal(result.is_ood, ~known)
        assert torch.equal(result.ood_scores > middle, ~known)
        assert torch.equal(result.labels[known], before.labels[~is_ood])
        for key, value in fields(before).items():
            assert_near(result[key][known], value[~is_ood])
        rejected = before[is_ood]
        rejected.labels[:] = K
        rejected = merge_label(rejected, K, head.test_cfg.nms)
        assert_near(result.bboxes[~known], rejected.bboxes)
        assert torch.equal(result.scores, result.scores.sort()[0].flip(0))
        dropped += len(before) - len(result)
    assert dropped > 0


def test_uncalibrated_no_box_is_rejected(rejecting):
    head, batch, expected = rejecting
    for result, before in zip(predict(head, *batch), expected):
        for key, value in before.items():
            assert_near(result[key], value)
        assert not result.is_ood.any()


@pytest.mark.parametrize('unknown_class', [True, False])
def test_no_proposal_no_box(unknown_class):
    head = open_set_head(unknown_class, rejects=True, reject_above=0.0)
    maps, props, data = inputs_of()
    for empty in ([props[0], props[1][:0]], [p[:0] for p in props]):
        results = predict(head, maps, copy.deepcopy(empty), data)
        assert len(results[1]) == 0
        assert results[1].is_ood.dtype == torch.bool
        assert results[1].bboxes.shape == (0, 4)


def test_boxes_to_fit_on_keep_their_labels(rejecting):
    head, batch, expected = rejecting
    head.scores.thresholds['energy'].fill_(-1e9)
    head.keeps_samples = True
    for result, before in zip(predict(head, *batch), expected):
        assert torch.equal(result.labels, before.labels)


def test_scores_are_fitted_on_correct_boxes_of_known_classes():
    """Boxes that say unknown take no part; the fit is in the checkpoint."""
    scores = ['energy', dict(type='knn', k=2)]
    head = open_set_head(True, scores=scores, rejects=True)
    head.test_cfg.update(score_thr=0.0, max_per_img=100)
    batch = inputs_of(1)
    head.keeps_samples = True
    (kept,) = predict(head, *copy.deepcopy(batch))
    head.keeps_samples = False
    objects = [
        dict(bbox=box, bbox_label=label)
        for box, label in zip(kept.bboxes.tolist(), kept.labels.tolist())
        if label < K
    ]
    sample = DetDataSample(metainfo=dict(instances=objects, img_id=3))
    sample.pred_instances = kept
    head.scores.start(['knn'])
    for part in head.fit_samples(sample):
        assert set(part[1].tolist()) == set(range(K))
        assert part[0].logits.shape == (len(objects), K)
        head.scores.update(*part)
    head.scores.finish()
    bank = head.scores.state_dict()['knn.bank']
    known = kept.samples.features[kept.labels < K]
    assert_near(bank.sort(0)[0], normalize(known).sort(0)[0], 1e-5, 1e-5)

    other = open_set_head(True, scores=scores, rejects=True)
    other.load_state_dict(head.state_dict())
    other.test_cfg = head.test_cfg
    for mine, its in zip(predict(head, *copy.deepcopy(batch)),
                         predict(other, *copy.deepcopy(batch))):  # fmt: skip
        assert torch.isfinite(mine.ood_scores_knn).all() and len(mine)
        assert_near(mine.ood_scores_knn, its.ood_scores_knn)


def test_losses_need_a_class_for_the_unknown():
    spy = [dict(type='mmood.OpenSetSpy')]
    with pytest.raises(ValueError, match='OpenSetSpy.*unknown_class=True'):
        open_set_head(False, losses=spy)


def test_the_unknown_class_has_no_boxes_of_its_own():
    head = dict(box_head(True), reg_class_agnostic=False)
    with pytest.raises(ValueError, match='reg_class_agnostic=True, got False'):
        open_set_head(True, bbox_head=head)


def test_it_is_registered():
    assert MODELS.get('mmood.OpenSetRoIHead') is OpenSetRoIHead
