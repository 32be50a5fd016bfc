"""A DETR head that learns a class for unknown objects.

Shapes: K = 3 known classes of which 2 are seen, label 3 unknown, 4 no object;
Q queries.
"""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.logging import MessageHub

from mmood.det.models import AttentionDeformableDETR, GrowingLinear
from mmood.hooks.check_data import head_classes
from mmood.losses import BACKGROUND, IGNORE, OUTLIER, OODLoss
from mmood.registry import MODELS as OURS
from query_detectors import K, Q, config, images, predict, samples

UNKNOWN, NO_OBJECT, SEEN, PSEUDO = K, K + 1, 2, 5


@OURS.register_module(force=True)
class LayerSpy(OODLoss):
    """Keeps the batch it was shown."""

    reads = ('layers',)

    def forward(self, batch):
        self.batch, self.layers = batch, batch.layers()
        return {}


def detector(kind='deformable', losses=('LayerSpy',), **more):
    torch.manual_seed(0)
    cfg = config(kind)
    cfg.type = 'mmood.AttentionDeformableDETR'
    cfg.bbox_head.update(
        type='mmood.OODHead',
        of='mmdet.DeformableDETRHead',
        num_classes=K + 1,
        unknown_class=True,
        pseudo=dict(type='mmood.AttentionPseudoUnknown', num_pseudo=PSEUDO),
        cls_predictor_cfg=dict(type='mmood.GrowingLinear', num_seen=SEEN),
        scores=['energy'],
        losses=[dict(type=f'mmood.{name}') for name in losses],
    )
    for key, value in more.items():
        target = cfg if key in cfg else cfg.bbox_head
        target[key] = value
    model = MODELS.build(cfg)
    model.init_weights()
    for name, parameter in model.bbox_head.named_parameters():
        if 'cls' in name or name.startswith('reg_branches.0.4'):
            torch.nn.init.normal_(parameter, std=0.3)  # boxes that differ
    return model.train()


def seen_samples(*counts):
    """Data samples with so many objects, of classes that are seen."""
    found = samples(len(counts))
    for sample, count in zip(found, counts):
        sample.gt_instances = sample.gt_instances[:count]
        sample.gt_instances.labels %= SEEN
    return found


def targets_of(model, data):
    """Labels of each decoder layer and image, with boxes in pixels."""
    head, found = model.bbox_head, []
    plain = head.get_targets

    def spy(logits, boxes, *rest):
        targets = plain(logits, boxes, *rest)
        corners = [
            bbox_cxcywh_to_xyxy(one) * one.new_tensor([96, 64, 96, 64])
            for one in boxes
        ]
        found.append((targets, corners))
        return targets

    head.get_targets = spy
    try:
        losses = model.loss(images(len(data)), data)
    finally:
        del head.get_targets
    return found, losses


def rate(attention, box):
    """Mean of the pixels in a box, by a slice."""
    left, top, right, bottom = box.long().clamp(min=0).tolist()
    part = attention[top:bottom, left:right]
    return part.mean().item() if part.numel() else -1


def test_the_best_unmatched_queries_of_each_layer_are_unknown():
    model = detector()
    inputs, data = images(2), seen_samples(3, 1)
    found, _ = targets_of(model, data)
    with torch.no_grad():
        level = model.backbone(inputs)[1]
        attention = torch.nn.functional.interpolate(
            level.mean(1, keepdim=True), (64, 96), mode='bilinear'
        )[:, 0]
    assert len(found) == 2  # decoder layers
    for targets, corners in found:
        labels, _, _, weights, positive, negative = targets
        assert (positive, negative) == (4, 2 * Q - 4)
        for image, count in enumerate((3, 1)):
            own = labels[image]
            is_known = own < K
            assert is_known.sum() == count
            assert (weights[image].any(1) == is_known).all()
            rates = torch.tensor(
                [rate(attention[image], box) for box in corners[image]]
            )
            rates[is_known] = -1
            best = rates.topk(PSEUDO)
            assert best.values.min() > 0
            expected = torch.full((Q,), NO_OBJECT)
            expected[best.indices] = UNKNOWN
            assert torch.equal(own[~is_known], expected[~is_known])


def test_losses_see_all_queries_of_all_layers():
    model = detector()
    found, _ = targets_of(model, seen_samples(3, 1))
    spy = model.bbox_head.losses['LayerSpy']
    assert len(spy.layers) == 2
    for (targets, _), (features, labels) in zip(found, spy.layers):
        assert features.shape == (2 * Q, 256)
        expected = torch.cat(targets[0])
        expected[expected == NO_OBJECT] = BACKGROUND
        expected[expected == UNKNOWN] = OUTLIER
        assert torch.equal(labels, expected)
    batch = spy.batch
    assert batch.num_classes == K
    assert batch.logits.shape[1] == K + 1
    assert (batch.labels == OUTLIER).sum() == 2 * PSEUDO
    assert batch.is_known.sum() == 4
    # The rows of the batch are among the last layer's.
    last = spy.layers[-1]
    difference = batch.features[:, None] - last[0]
    distance = difference.abs().amax(2)
    place = distance.argmin(1)
    assert distance.amin(1).max() == 0
    assert torch.equal(batch.labels, last[1][place])


def test_none_before_the_start():
    pseudo = dict(type='mmood.AttentionPseudoUnknown', start_epoch=2)
    model = detector(pseudo=pseudo)
    hub = MessageHub.get_current_instance()
    for epoch, count in ((0, 0), (1, 0), (2, PSEUDO)):
        hub.update_info('epoch', epoch)
        found, _ = targets_of(model, seen_samples(2, 2))
        for targets, _ in found:
            for labels in targets[0]:
                assert (labels == UNKNOWN).sum() == count


def test_an_image_without_objects_has_unknown_ones():
    found, losses = targets_of(detector(), seen_samples(0, 0))
    for targets, _ in found:
        for labels in targets[0]:
            assert (labels == UNKNOWN).sum() == PSEUDO
            assert (labels == NO_OBJECT).sum() == Q - PSEUDO
    assert losses['loss_bbox'] == 0
    assert all(torch.isfinite(value) for value in losses.values())


def test_fewer_unmatched_queries_than_are_asked_for():
    """All that is left is unknown; what is matched stays known."""
    pseudo = dict(type='mmood.AttentionPseudoUnknown', num_pseudo=Q)
    found, _ = targets_of(detector(pseudo=pseudo), seen_samples(3))
    for targets, corners in found:
        (labels,) = targets[0]
        assert (labels < K).sum() == 3
        size = corners[0].long().clamp(min=0)
        has_pixel = (size[:, 2:] > size[:, :2]).all(1)
        assert (labels[has_pixel] != NO_OBJECT).all()


def test_classes_to_come_are_not_learned_as_background():
    model = detector(losses=['ObjectnessLoss'])
    losses = model.loss(images(), seen_samples(3, 1))
    total, values = model.parse_losses(losses)
    total.backward()
    assert values['loss_objectness'] > 0
    layers = set(model.bbox_head.cls_branches)
    (layer,) = layers  # shared by the decoder layers, as before
    assert isinstance(layer, GrowingLinear)
    moved = layer.weight.grad.abs().amax(1) > 0
    assert moved.tolist() == [True, True, False, True]
    (branch,) = model.bbox_head.losses['ObjectnessLoss'].branches
    assert branch.weight.grad.abs().max() > 0


def test_each_decoder_layer_has_a_branch_where_it_has_a_classifier():
    model = detector(losses=['ObjectnessLoss'], with_box_refine=True)
    head = model.bbox_head
    assert len(set(head.cls_branches)) == 2
    assert all(isinstance(one, GrowingLinear) for one in head.cls_branches)
    assert len(head.losses['ObjectnessLoss'].branches) == 2
    total, _ = model.parse_losses(model.loss(images(), seen_samples(2, 2)))
    total.backward()
    for branch in head.losses['ObjectnessLoss'].branches:
        assert branch.weight.grad.abs().max() > 0


def test_unknown_is_told_and_classes_to_come_are_not():
    model = detector().eval()
    assert head_classes(model) == {'bbox_head': K}
    for boxes in predict(model):
        assert set(boxes.labels.tolist()) <= {0, 1, UNKNOWN}
        assert UNKNOWN in boxes.labels
        assert torch.equal(boxes.is_ood, boxes.labels == UNKNOWN)
    model.bbox_head.keeps_samples = True
    for boxes in predict(model):
        assert boxes.samples.logits.shape == (Q, K)


def test_flagged_objects_are_no_unknown_ones():
    """Their queries are ignored, by the objectness too."""
    model = detector()
    data = seen_samples(3, 2)
    data[0].gt_instances.labels[1] = -1
    found, _ = targets_of(model, data)
    for (targets, _), (_, labels) in zip(
        found, model.bbox_head.losses['LayerSpy'].layers
    ):
        ignored = torch.cat(targets[1]) == 0
        assert ignored.sum() == 1
        assert labels[ignored].tolist() == [IGNORE]
        assert (labels == OUTLIER).sum() == 2 * PSEUDO


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match='pseudo needs.*unknown_class=True'):
        detector(unknown_class=False)
    with pytest.raises(ValueError, match='two-stage.*as_two_stage=False'):
        detector(as_two_stage=True)
    model = detector(type='DeformableDETR')
    assert not isinstance(model, AttentionDeformableDETR)
    with pytest.raises(ValueError, match='mmood.AttentionDeformableDETR'):
        model.loss(images(), seen_samples(1, 1))
    dense = dict(type='mmood.OODHead', of='mmdet.RetinaHead')
    dense.update(num_classes=3, in_channels=8)
    with pytest.raises(ValueError, match='unknown_class are for DETR heads'):
        OURS.build(dict(dense, unknown_class=True))
    objectness = [dict(type='mmood.ObjectnessLoss')]
    with pytest.raises(ValueError, match='only DETR heads have decoder'):
        OURS.build(dict(dense, losses=objectness))
