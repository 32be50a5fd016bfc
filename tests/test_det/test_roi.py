"""RoI heads at test: what the parent says, and the scores of each box.

Shapes: R RoIs, K classes, 16-channel maps of a 64 px image.
"""

from contextlib import ExitStack

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from det_helpers import (
    CASCADE,
    KINDS,
    K,
    box_head,
    build_head,
    predict,
    proposals,
    roi_of_each_box,
    samples,
)
from helpers import assert_near
from mmood.det.models.roi_tools import record_calls
from mmood.scores import energy, entropy

by_kind = pytest.mark.parametrize('kind', KINDS)
PUBLIC = [
    'faster-rcnn_r50_fpn',
    'faster-rcnn_r50-caffe-c4',
    'mask-rcnn_r50_fpn',
    'mask-rcnn_r50-caffe-c4',
    'cascade-rcnn_r50_fpn',
    'cascade-mask-rcnn_r50_fpn',
]


@by_kind
def test_boxes_scores_labels_and_masks_equal_the_parents(kind):
    head = build_head(kind, scores=['energy', 'entropy']).eval()
    stock = build_head(kind, stock=True).eval()
    missing, _ = stock.load_state_dict(head.state_dict(), strict=False)
    assert not missing
    maps, data = (torch.randn(3, 16, 8, 8),), samples(3)
    props = [proposals(15), proposals(0), proposals(9)]
    ours = predict(head, maps, props, data)
    for mine, other in zip(ours, predict(stock, maps, props, data)):
        assert (len(mine) > 0) == (mine is not ours[1])
        assert ('masks' in other) == ('mask' in kind)
        for field, value in other.items():
            assert_near(mine[field].float(), value.float())


@pytest.mark.parametrize('name', PUBLIC)
def test_a_public_checkpoint_has_all_keys_and_no_other(name):
    """By mmdet's own configs, whose checkpoints have the stock heads' keys."""
    text = f"_base_ = 'mmdet::_base_/models/{name}.py'"
    model = Config.fromstring(text, '.py').model
    cfg = dict(
        model.roi_head, train_cfg=model.train_cfg.rcnn,
        test_cfg=model.test_cfg.rcnn,
    )  # fmt: skip
    kind = 'OODCascadeRoIHead' if 'cascade' in name else 'OODRoIHead'
    with torch.device('meta'):
        stock = MODELS.build(cfg)
        head = MODELS.build(dict(cfg, type=f'mmood.{kind}'))
    expected = {k: v.shape for k, v in stock.state_dict().items()}
    found = {k: v.shape for k, v in head.state_dict().items()}
    own = {'score_threshold', 'ood_threshold', 'scores.thresholds.energy'}
    assert found.keys() - expected.keys() == own
    assert all(found[key] == shape for key, shape in expected.items())


@by_kind
def test_stock_weights_lack_nothing_and_leave_no_threshold(kind):
    head = build_head(kind, scores=['energy', 'knn'])
    head.score_threshold.fill_(0.5)  # of other weights
    head.scores.thresholds['energy'].fill_(1.0)
    found = head.load_state_dict(build_head(kind, stock=True).state_dict())
    assert not found.missing_keys and not found.unexpected_keys
    assert head.score_threshold.isnan() and head.ood_threshold.isnan()


@by_kind
def test_each_box_has_the_score_of_its_own_roi(kind):
    """In a cascade that of the last stage; the confidence is all stages'."""
    head = build_head(kind, scores=['energy', 'entropy']).eval()
    head.scores.thresholds['energy'].fill_(-1.6)
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(12)
    stages = head.bbox_head if 'cascade' in kind else [head.bbox_head]
    with ExitStack() as stack:
        calls = [stack.enter_context(record_calls(s.fc_cls)) for s in stages]
        kept = predict(head, maps, [props], data)[0]
    every = torch.stack([outputs for ((_, outputs),) in calls])
    logits, probs = every[-1], every.mean(0).softmax(1)[:, :K]
    assert len(every) == 1 or (every[0] - logits).abs().max() > 1e-3
    roi = roi_of_each_box(kept, probs)
    assert_near(kept.ood_scores, energy(logits[roi, :K]))
    assert_near(kept.ood_scores_energy, energy(logits[roi, :K]))
    assert_near(kept.ood_scores_entropy, entropy(logits[roi, :K]))
    assert_near(kept.max_class_scores, probs[roi].amax(1))
    assert torch.equal(kept.is_ood, kept.ood_scores > -1.6)


@by_kind
def test_no_proposal_in_any_or_in_one_image(kind):
    head = build_head(kind, scores=['energy', 'odin']).eval()
    maps, data = (torch.randn(2, 16, 8, 8),), samples()
    for counts in ((0, 0), (0, 7)):
        kept = predict(head, maps, [proposals(n) for n in counts], data)
        assert len(kept[0]) == 0
        assert kept[0].ood_scores_odin.shape == (0,)
        assert kept[0].is_ood.dtype == torch.bool
        assert (len(kept[1]) > 0) == (counts[1] > 0)


def test_inputs_are_kept_for_a_score_that_reads_them_alone():
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(8)
    for scores, shape in ((['energy'], None), (['odin'], (16, 5, 5))):
        head = build_head(scores=scores).eval()
        head.keeps_samples = True
        found = predict(head, maps, [props], data)[0].samples
        if shape is None:
            assert found.inputs is None
        else:
            again = found.view(found.inputs)
            assert found.inputs.shape == (len(found), *shape)
            assert_near(again.logits, found.logits)
            assert_near(again.features, found.features)


def test_one_class_energy_is_the_negative_logit():
    head = build_head(bbox_head=box_head(num_classes=1)).eval()
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(8)
    with record_calls(head.bbox_head.fc_cls) as calls:
        kept = predict(head, maps, [props], data)[0]
    scores = calls[0][1].softmax(1)[:, 0]
    roi = [int((scores - s).abs().argmin()) for s in kept.scores]
    assert_near(kept.ood_scores, -calls[0][1][roi, 0])


@pytest.mark.parametrize('kind', ['standard', 'cascade'])
def test_classifier_of_another_class_count_refuses_to_predict(kind):
    head = build_head(kind)
    state = head.state_dict()
    key = 'bbox_head.2' if kind == 'cascade' else 'bbox_head'
    state[f'{key}.fc_cls.weight'] = torch.zeros(21, 32)
    state[f'{key}.fc_cls.bias'] = torch.zeros(21)
    with pytest.raises(RuntimeError, match='size mismatch'):
        head.load_state_dict(state, strict=False)
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(5)
    with pytest.raises(ValueError, match=r'\(21, 32\).*\(5, 32\)'):
        predict(head.eval(), maps, [props], data)
    props = [proposals(20)]
    props[0].pop('scores')
    head.train().loss(maps, props, data)  # fine-tuning is allowed
    assert predict(head.eval(), maps, [proposals(5)], data)
    # So is a checkpoint that fits, after one that does not.
    with pytest.raises(RuntimeError, match='size mismatch'):
        head.load_state_dict(state, strict=False)
    head.load_state_dict(build_head(kind).state_dict())
    assert predict(head.eval(), maps, [proposals(5)], data)


@pytest.mark.parametrize('kind', ['standard', 'cascade'])
@pytest.mark.parametrize('stock', [True, False])
def test_weights_of_another_head_refuse_to_predict(kind, stock):
    """Its classifier would be untrained."""
    head = build_head(kind)
    other = build_head(
        'cascade' if kind == 'standard' else 'standard', stock=stock
    )
    head.load_state_dict(other.state_dict(), strict=False)
    maps, data = (torch.randn(1, 16, 8, 8),), samples(1)
    with pytest.raises(ValueError, match="another head.*the head's type"):
        predict(head.eval(), maps, [proposals(5)], data)
    props = [proposals(20)]
    props[0].pop('scores')
    head.train().loss(maps, props, data)
    assert predict(head.eval(), maps, [proposals(5)], data)


def test_stages_with_different_class_counts_are_refused():
    heads = [
        dict(h, num_classes=n) for h, n in zip(CASCADE['bbox_head'], [4, 5, 4])
    ]
    with pytest.raises(ValueError, match=r'num_classes=\[4, 5, 4\].*same'):
        build_head('cascade', bbox_head=heads)


def test_a_box_head_without_a_classifier_is_refused():
    cfg = box_head(with_cls=False)
    with pytest.raises(ValueError, match='no classifier fc_cls'):
        build_head(bbox_head=cfg)


def test_a_decomposed_classifier_shows_its_numerators():
    predictor = dict(type='mmood.DecomposedLinear')
    cfg = box_head(cls_predictor_cfg=predictor)
    head = build_head(bbox_head=cfg, scores=['godin']).eval()
    view = head.view(torch.randn(6, 16, 5, 5))
    expected = head.bbox_head.fc_cls.numerators(view.features)
    assert_near(view.numerators, expected[:, :K])
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(8)
    kept = predict(head, maps, [props], data)[0]
    assert kept.ood_scores_godin.isfinite().all() and len(kept)
    plain = build_head(scores=['godin']).eval()
    with pytest.raises(ValueError, match='mmood.DecomposedLinear'):
        predict(plain, maps, [props], data)


@pytest.mark.parametrize('scores', ['energy', [], ['vimm']])
def test_bad_scores(scores):
    with pytest.raises(ValueError, match='scor'):
        build_head(scores=scores)
