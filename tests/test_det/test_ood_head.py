"""Heads by name: what is taken, what is refused, what a checkpoint gives."""

import copy

import pytest
import torch
from mmdet.models.dense_heads import ATSSHead, RetinaHead
from mmdet.registry import MODELS as MMDET
from mmengine.runner import load_checkpoint

from dense_heads import HEADS, config, ood_head, plain_head, predict
from mmood.registry import MODELS


@MMDET.register_module(force=True)
class ForgetfulHead(ATSSHead):
    """Its boxes do not come out of the box coder."""

    def _predict_by_feat_single(self, bbox_pred_list, **kwargs):
        found = super()._predict_by_feat_single(
            bbox_pred_list=bbox_pred_list, **kwargs
        )
        found.pop('places', None)
        return found


@MMDET.register_module(force=True)
class CountingHead(ATSSHead):
    """It has a name that is ours."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.score_threshold = None


def build(of, **more):
    cfg = config('atss')
    del cfg['type']
    return MODELS.build(dict(type='mmood.OODHead', of=of, **cfg, **more))


def test_a_class_does_as_well_as_a_name():
    head = build(ATSSHead)
    assert isinstance(head, ATSSHead) and type(head).__name__ == 'OODATSSHead'
    assert type(head) is type(build('mmdet.ATSSHead'))


@pytest.mark.parametrize(
    'of, message',
    [
        ('mmdet.NoHead', "of='mmdet.NoHead' is in no registry: write its"),
        ('mmdet.StandardRoIHead', 'StandardRoIHead is no head of a known'),
        ('mmdet.ResNet', 'ResNet is no head of a known family'),
        ('mmdet.ForgetfulHead', 'OODForgetfulHead cannot have scores'),
        ('mmdet.CountingHead', 'has a score_threshold of its own'),
    ],
)
def test_what_is_no_head_of_a_known_family_is_refused(of, message):
    with pytest.raises(ValueError, match=message):
        build(of)


@pytest.mark.parametrize('kind', HEADS)
def test_a_plain_checkpoint_loads_and_calls_nothing_ood(kind, tmp_path):
    plain, path = plain_head(kind), tmp_path / 'plain.pth'
    torch.save(dict(state_dict=plain.state_dict()), path)
    cfg = config(kind)
    of = cfg.pop('type')
    head = MODELS.build(dict(type='mmood.OODHead', of=f'mmdet.{of}', **cfg))
    load_checkpoint(head, str(path), strict=False)
    own = head.state_dict()
    for name, value in plain.state_dict().items():
        assert torch.equal(own[name], value)
    assert set(own) - set(plain.state_dict()) == {
        'score_threshold',
        'ood_threshold',
        'scores.thresholds.energy',
    }
    assert head.score_threshold.isnan() and head.ood_threshold.isnan()
    for boxes in predict(head.eval()):
        assert boxes.ood_scores.isfinite().all() and not boxes.is_ood.any()


def test_a_threshold_decides():
    head = ood_head('retina')
    boxes = predict(head)[0]
    low, high = boxes.ood_scores.sort().values[[4, -4]]
    limit = (low + high) / 2
    head.scores.thresholds['energy'].fill_(limit)
    again = predict(head)[0]
    assert torch.equal(again.is_ood, boxes.ood_scores > limit)
    twin = copy.deepcopy(head)  # as an average of the weights makes one
    assert torch.equal(predict(twin)[0].is_ood, again.is_ood)


def test_a_retina_head_is_still_one():
    assert isinstance(ood_head('retina'), RetinaHead)
