"""DETR heads with scores: boxes as before, logits of their queries.

Shapes: K classes, Q queries, C = 256 channels of each.
"""

import pytest
import torch

from helpers import assert_near
from mmood.det.models.roi_tools import record_calls
from mmood.scores import energy, joint_energy
from query_detectors import (
    FILES,
    K,
    Q,
    images,
    ood_detector,
    plain_detector,
    predict,
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
    with record_calls(*set(head._layers())) as calls:
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


def test_more_queries_than_a_half_can_count():
    model = ood_detector('deformable')
    head, count = model.bbox_head, 3000
    logits = torch.randn(count, K).half()
    boxes = torch.rand(count, 4).half()
    meta = dict(img_shape=(64, 96), scale_factor=(1.0, 1.0))
    found = head._predict_by_feat_single(logits.float(), boxes, meta, False)
    own = logits.float().sigmoid()[found.queries, found.labels]
    assert_near(found.scores, own)
    assert found.queries.max() > 1000


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
    with pytest.raises(ValueError, match='entropy.*softmax logits'):
        ood_detector('dino', scores=['entropy'])
