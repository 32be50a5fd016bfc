"""Shapes: R RoIs, K classes, 16-channel maps of a 64 px image."""

import pytest
import torch

from det_helpers import (
    K,
    build_head,
    predict,
    proposals,
    roi_of_each_box,
    samples,
)
from helpers import assert_near
from mmood.det.models.roi_tools import record_calls
from mmood.necks import DFDDNeck
from mmood.scores import energy, entropy


def test_boxes_scores_and_labels_equal_the_parents():
    head = build_head(scores=['energy', 'entropy']).eval()
    stock = build_head(type='StandardRoIHead').eval()
    missing, _ = stock.load_state_dict(head.state_dict(), strict=False)
    assert not missing
    maps, data = (torch.randn(2, 16, 8, 8),), samples()
    props = [proposals(15), proposals(9)]
    ours = predict(head, maps, props, data)
    for mine, other in zip(ours, predict(stock, maps, props, data)):
        assert len(mine) > 0
        for field in ('bboxes', 'scores', 'labels'):
            assert_near(mine[field], other[field])


def test_each_box_has_the_score_of_its_own_roi():
    head = build_head(scores=['energy', 'entropy']).eval()
    head.ood_threshold.fill_(-1.6)
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(12)
    with record_calls(head.bbox_head.fc_cls) as calls:
        kept = predict(head, maps, [props], data)[0]
    logits = calls[0][1]
    probs = logits.softmax(1)[:, :K]
    roi = roi_of_each_box(kept, probs)
    torch.testing.assert_close(kept.ood_scores, energy(logits[roi, :K]))
    torch.testing.assert_close(
        kept.ood_scores_entropy, entropy(logits[roi, :K])
    )
    torch.testing.assert_close(kept.max_class_scores, probs[roi].amax(1))
    assert torch.equal(kept.is_ood, kept.ood_scores > -1.6)


def test_no_proposal_in_any_or_in_one_image():
    head = build_head().eval()
    maps, data = (torch.randn(2, 16, 8, 8),), samples()
    for counts in ((0, 0), (0, 7)):
        kept = predict(head, maps, [proposals(n) for n in counts], data)
        assert len(kept[0]) == 0
        assert kept[0].ood_scores.shape == (0,)
        assert kept[0].is_ood.dtype == torch.bool
        assert (len(kept[1]) > 0) == (counts[1] > 0)


def test_one_class_energy_is_the_negative_logit():
    bbox_head = build_head().bbox_head
    assert bbox_head.num_classes == K
    cfg = dict(
        type='Shared2FCBBoxHead',
        in_channels=16,
        fc_out_channels=32,
        roi_feat_size=5,
        num_classes=1,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    )
    head = build_head(bbox_head=cfg).eval()
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(8)
    with record_calls(head.bbox_head.fc_cls) as calls:
        kept = predict(head, maps, [props], data)[0]
    scores = calls[0][1].softmax(1)[:, 0]
    roi = [int((scores - s).abs().argmin()) for s in kept.scores]
    torch.testing.assert_close(kept.ood_scores, -calls[0][1][roi, 0])


def dfdd_losses(head, data, neck=None, scale=1.0):
    neck = neck or DFDDNeck(16)
    x = torch.randn(len(data), 16, 8, 8, requires_grad=True)
    pyramid = neck.train()([x * scale])
    props = [proposals(20) for _ in data]
    for prop in props:
        prop.pop('scores')
    return head.loss(pyramid, props, data), x


def loss_head(**kwargs):
    return build_head(
        loss_uncertainty=dict(type='mmood.UncertaintyLoss'),
        loss_consistency=dict(type='mmood.ConsistencyLoss'),
        **kwargs,
    )


def test_losses_are_named_and_reach_the_backbone():
    losses, x = dfdd_losses(loss_head(), samples())
    expected = {'loss_deblur', 'loss_uncertainty', 'loss_consistency'}
    assert expected <= set(losses)
    losses['loss_uncertainty'].backward()
    assert x.grad.abs().sum() > 0


def test_uncertainty_of_equal_logits_has_its_closed_form():
    """All logits 0: energies are -log K on both sides."""
    head = loss_head()
    torch.nn.init.zeros_(head.bbox_head.fc_cls.weight)
    torch.nn.init.zeros_(head.bbox_head.fc_cls.bias)
    losses, _ = dfdd_losses(head, samples())
    log_k = torch.log(torch.tensor(float(K)))
    expected = 0.1 * (
        torch.log1p(torch.exp(-log_k)) + torch.log1p(torch.exp(log_k))
    )
    torch.testing.assert_close(losses['loss_uncertainty'], expected)
    assert losses['loss_consistency'].abs() < 1e-6


def test_images_without_objects_give_zero_losses_with_gradient():
    losses, x = dfdd_losses(loss_head(), samples(boxes=0))
    assert losses['loss_uncertainty'] == 0
    assert losses['loss_consistency'] == 0
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert torch.isfinite(x.grad).all()


def test_blurred_outliers_too_wait_for_their_start():
    torch.manual_seed(0)
    losses, x = dfdd_losses(loss_head(outlier_start_iter=7), samples())
    assert losses['loss_uncertainty'] == 0
    losses['loss_uncertainty'].backward()
    assert (x.grad == 0).all()
    losses, _ = dfdd_losses(loss_head(outlier_start_iter=0), samples())
    assert losses['loss_uncertainty'] > 0


def test_losses_without_a_dfdd_neck_say_what_is_missing():
    head = loss_head()
    props = [proposals(20)]
    props[0].pop('scores')
    with pytest.raises(ValueError, match='put an mmood.DFDDNeck'):
        head.loss((torch.randn(1, 16, 8, 8),), props, samples(1))


def test_classifier_of_another_class_count_refuses_to_predict():
    head = build_head()
    state = head.state_dict()
    state['bbox_head.fc_cls.weight'] = torch.zeros(21, 32)
    state['bbox_head.fc_cls.bias'] = torch.zeros(21)
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
    head.load_state_dict(build_head().state_dict())
    assert predict(head.eval(), maps, [proposals(5)], data)


@pytest.mark.parametrize('scores', ['energy', [], ['vim']])
def test_bad_scores(scores):
    with pytest.raises(ValueError, match='scor'):
        build_head(scores=scores)
