"""DETR heads with scores: boxes as before, logits of their queries.

Shapes: K classes, Q queries, C = 256 channels of each.
"""

import pytest
import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.registry import MODELS as MMDET

from helpers import assert_near
from mmood.det.models.roi_tools import record_calls
from mmood.registry import MODELS
from mmood.scores import energy, joint_energy
from query_detectors import (
    FILES,
    K,
    Q,
    config,
    images,
    ood_detector,
    plain_detector,
    predict,
    samples,
)


@pytest.mark.parametrize('kind', FILES)
def test_boxes_are_those_of_the_plain_head(kind):
    plain = plain_detector(kind)
    model = ood_detector(kind, like=plain)
    for ours, theirs in zip(predict(model), predict(plain)):
        assert len(ours) == Q
        for field in ('bboxes', 'scores', 'labels'):
            assert_near(ours[field], theirs[field])
        assert torch.equal(ours.ood_scores, ours.ood_scores_energy)
        assert 'queries' not in ours


@pytest.mark.parametrize('kind', FILES)
def test_logits_and_features_are_those_of_the_last_layers_query(kind):
    model = ood_detector(kind)
    head = model.bbox_head
    with record_calls(*set(head._layers)) as calls:
        plain = predict(model)
    head.keeps_samples = True
    kept = predict(model)
    features, logits = (part.reshape(-1, 2, Q, part.shape[-1])[-1]
                        for part in calls[-1])  # fmt: skip
    for i, (boxes, before) in enumerate(zip(kept, plain)):
        rows = boxes.samples
        distance = (rows.logits[:, None] - logits[i][None, :, :K]).abs()
        query = distance.sum(2).argmin(1)
        assert_near(rows.logits, logits[i][query, :K])
        assert_near(rows.features, features[i][query])
        p = logits[i].softmax(1) if kind == 'detr' else logits[i].sigmoid()
        assert_near(boxes.scores, p[query, boxes.labels])
        assert_near(boxes.max_class_scores, p[query, :K].amax(1))
        assert_near(rows.classifier(rows.features), rows.logits)
        is_softmax = rows.kind == 'softmax'
        assert is_softmax == (kind == 'detr')
        score = energy if is_softmax else joint_energy
        assert_near(before.ood_scores_energy, score(rows.logits))


SOFTMAX = dict(type='CrossEntropyLoss', use_sigmoid=False)


@pytest.mark.parametrize('kind', [k for k in FILES if k != 'detr'])
def test_a_focal_losses_head_with_a_softmax_instead(kind):
    """``use_sigmoid=False``: its logits have a background, left out here."""
    plain = plain_detector(kind, loss_cls=SOFTMAX)
    more = dict(scores=('energy', 'entropy'), loss_cls=SOFTMAX)
    model = ood_detector(kind, like=plain, **more)
    assert model.bbox_head.cls_out_channels == K + 1
    found = predict(model)
    for ours, theirs in zip(found, predict(plain)):
        for field in ('bboxes', 'scores', 'labels'):
            assert_near(ours[field], theirs[field])
    model.bbox_head.keeps_samples = True
    for before, kept in zip(found, predict(model)):
        assert kept.samples.kind == 'softmax'
        assert kept.samples.logits.shape == (Q, K)
        assert_near(before.ood_scores_energy, energy(kept.samples.logits))


@pytest.mark.parametrize('kind', FILES)
def test_no_box(kind):
    model = ood_detector(kind)
    model.bbox_head.test_cfg.max_per_img = 0
    for boxes in predict(model):
        assert boxes.bboxes.shape == (0, 4)
        for field in ('ood_scores', 'ood_scores_max_logit'):
            assert boxes[field].shape == (0,)
        assert boxes.max_class_scores.shape == (0,)
        assert boxes.is_ood.shape == (0,) and boxes.is_ood.dtype == torch.bool


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_finds_the_same_queries(dtype):
    """Of more queries than a half can count."""
    model = ood_detector('deformable')
    head, count = model.bbox_head, 3000
    logits = torch.randn(count, K).to(dtype)
    boxes = torch.rand(count, 4).to(dtype)
    meta = dict(img_shape=(64, 96), scale_factor=(1.0, 1.0))
    found = head._predict_by_feat_single(logits, boxes, meta, False)
    own = logits.float().sigmoid()[found.queries, found.labels]
    assert_near(found.scores.float(), own, atol=1e-2)
    assert found.queries.max() > 1000


@pytest.mark.parametrize('kind', FILES)
def test_mixed_precision_scores_what_it_sees(kind):
    model = ood_detector(kind)
    head = model.bbox_head
    states = torch.randn(2, 1, Q, 256), torch.rand(2, 1, Q, 4)
    references = torch.rand(1, Q, 2)  # of a head without refinement
    rest = dict(
        detr=(), conditional=(references,), dino=(list(states[1]) * 2,)
    ).get(kind, ([references] * 3,))
    found = {}
    for keeps in (False, True):
        head.keeps_samples = keeps
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            (found[keeps],) = head.predict(
                states[0], *rest, samples(1), rescale=True
            )
    rows = found[True].samples
    assert rows.logits.dtype == torch.bfloat16
    score = energy if rows.kind == 'softmax' else joint_energy
    assert_near(found[False].ood_scores.float(), score(rows.logits.float()),
                atol=5e-2)  # fmt: skip


def test_more_than_one_box_of_a_query():
    model = ood_detector('deformable')
    layer = model.bbox_head.cls_branches[1]
    with torch.no_grad():
        layer.weight.zero_(), layer.bias.fill_(1.0)
    boxes = predict(model)[0]
    # All logits are alike.
    assert_near(boxes.ood_scores, boxes.ood_scores[:1].expand(Q))


def test_fitted_scores_read_the_queries_features():
    model = ood_detector('dino', scores=['knn', 'energy'])
    model.bbox_head.keeps_samples = True
    rows = predict(model, images(1))[0].samples
    knn = model.bbox_head.scores.fitted['knn']
    knn.reset()
    model.bbox_head.scores.being_fitted = ('knn',)
    model.bbox_head.scores.update(rows, torch.zeros(Q).long(), torch.arange(Q))
    model.bbox_head.scores.finish(('a', 'b', 'c'))
    model.bbox_head.keeps_samples = False
    boxes = predict(model, images(1))[0]
    unit = torch.nn.functional.normalize(rows.features, dim=1)
    tenth = torch.cdist(unit, unit).sort(1).values[:, 9]
    assert_near(boxes.ood_scores_knn, tenth, 1e-3)


def test_what_cannot_be_scored_says_why():
    with pytest.raises(ValueError, match='odin.*inputs: a DETR head'):
        ood_detector('dino', scores=['odin'])
    with pytest.raises(ValueError, match='entropy.*softmax and mask logits'):
        ood_detector('dino', scores=['entropy'])


class TwoLayers(torch.nn.Sequential):
    """A classifier that is no single linear layer."""

    def __init__(self, width, classes):
        layers = torch.nn.Linear(width, width), torch.nn.Linear(width, classes)
        super().__init__(*layers)


@MMDET.register_module(force=True)
class DeepHead(DETRHead):
    """It makes logits in another way than the heads that are known."""

    def _init_layers(self):
        super()._init_layers()
        self.fc_cls = TwoLayers(self.embed_dims, self.cls_out_channels)


def test_a_head_that_classifies_in_another_way_is_refused():
    cfg = config('detr').bbox_head
    cfg.update(type='mmood.OODHead', of='mmdet.DeepHead', scores=['energy'])
    cfg['loss_cls'] = SOFTMAX
    with pytest.raises(ValueError, match='DeepHead does not work like the D'):
        MODELS.build(cfg)
