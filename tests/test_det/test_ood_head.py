"""Heads by name: what is taken, what is refused, what a checkpoint gives."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmdet.models.dense_heads import ATSSHead, RetinaHead
from mmdet.registry import MODELS as MMDET
from mmengine.runner import load_checkpoint

import query_detectors
from dense_heads import (
    HEADS,
    annotated,
    config,
    maps,
    ood_head,
    plain_head,
    predict,
)
from helpers import assert_near
from mmood.hooks import FitScoresHook
from mmood.registry import MODELS
from query_detectors import ood_detector


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


@pytest.mark.parametrize('kind', query_detectors.FILES)
def test_a_plain_detr_checkpoint_calls_nothing_ood(kind):
    plain = query_detectors.plain_detector(kind)
    model = ood_detector(kind, ['energy'], like=plain)
    own = model.state_dict()
    for name, value in plain.state_dict().items():
        assert torch.equal(own[name], value)
    assert set(own) - set(plain.state_dict()) == {
        'bbox_head.score_threshold',
        'bbox_head.ood_threshold',
        'bbox_head.scores.thresholds.energy',
    }
    head = model.bbox_head
    assert head.score_threshold.isnan() and head.ood_threshold.isnan()
    boxes = query_detectors.predict(model)[0]
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


# Heads of both families, and their predictions of an image.
def _dense(**more):
    return ood_head('retina', **more)


def _dense_boxes(head):
    return predict(head)[0]


def _query(**more):
    return ood_detector('deformable', **more)


def _query_boxes(model):
    return query_detectors.predict(model)[0]


FAMILIES = pytest.mark.parametrize(
    'build_model, boxes_of',
    [(_dense, _dense_boxes), (_query, _query_boxes)],
    ids=['dense', 'query'],
)


def head_of(model):
    return getattr(model, 'bbox_head', model)


def classifiers(model):
    """Names of the layers that make the logits, without their ends.

    A layer that several levels share has several.
    """
    own = {id(layer.weight) for layer in head_of(model)._layers}
    found = model.named_parameters(remove_duplicate=False)
    return [n.removesuffix('weight') for n, p in found if id(p) in own]


def step(model):
    """A training step's losses."""
    model.train()
    if model is head_of(model):
        return model.loss(maps(), annotated())
    return model.loss(query_detectors.images(), query_detectors.samples())


@FAMILIES
def test_a_classifier_of_other_classes_refuses_to_predict(
    build_model, boxes_of
):
    model = build_model()
    state, names = model.state_dict(), classifiers(model)
    for name in names:
        for part in ('weight', 'bias'):
            own = state[f'{name}{part}']
            state[f'{name}{part}'] = torch.zeros(7, *own.shape[1:])
    assert names
    with pytest.raises(RuntimeError, match='size mismatch'):
        model.load_state_dict(state, strict=False)
    with pytest.raises(ValueError, match=r'\(7, .*set num_classes to that'):
        boxes_of(model.eval())
    step(model)  # fine-tuning is allowed
    assert len(boxes_of(model.eval()))
    # So is a checkpoint that fits, after one that does not.
    with pytest.raises(RuntimeError, match='size mismatch'):
        model.load_state_dict(state, strict=False)
    model.load_state_dict(build_model().state_dict())
    assert len(boxes_of(model))


@FAMILIES
def test_weights_of_another_head_refuse_to_predict(build_model, boxes_of):
    """Its classifier would be untrained."""
    model = build_model()
    own = classifiers(model)
    state = {
        key: value
        for key, value in model.state_dict().items()
        if not key.startswith(tuple(own))
    }
    model.load_state_dict(state, strict=False)
    with pytest.raises(ValueError, match="another head.*the head's type"):
        boxes_of(model)
    if model is not head_of(model):  # a backbone's alone are as good as none
        state = {k: v for k, v in state.items() if k.startswith('backbone.')}
        model.load_state_dict(state, strict=False)
        assert len(boxes_of(model))


def fit(model, boxes_of):
    """kNN of the boxes of an image."""
    head, names = head_of(model), ('a', 'b', 'c')
    head.keeps_samples = True
    rows = boxes_of(model).samples
    head.keeps_samples = False
    head.scores.start(['knn'])
    head.scores.update(rows, torch.zeros(len(rows)).long())
    head.scores.finish(names)
    return names


KNN = ['energy', dict(type='knn', k=1)]


@FAMILIES
def test_a_fitted_state_that_does_not_fit_is_none(build_model, boxes_of):
    """One of another width, as of another head's features."""
    model = build_model(scores=KNN)
    with pytest.raises(RuntimeError, match=r'not fitted.*fit_scores\.py'):
        boxes_of(model)
    fit(model, boxes_of)
    state = model.state_dict()
    twin = build_model(scores=KNN)
    twin.load_state_dict(state)  # it brings the fit along
    found, before = boxes_of(twin), boxes_of(model)
    # A box's nearest is itself.
    assert_near(found.ood_scores_knn, torch.zeros(len(found)), atol=1e-3)
    assert_near(found.ood_scores_knn, before.ood_scores_knn, atol=1e-3)
    (bank,) = [key for key in state if key.endswith('scores.knn.bank')]
    state[bank] = torch.zeros(9, 5)
    with pytest.raises(RuntimeError, match='size mismatch'):
        twin.load_state_dict(state, strict=False)
    with pytest.raises(RuntimeError, match=r'not fitted.*fit_scores\.py'):
        boxes_of(twin)


@FAMILIES
def test_scores_fitted_for_other_classes_are_refused(build_model, boxes_of):
    model = build_model(scores=KNN)
    names = fit(model, boxes_of)
    whole = model
    if model is head_of(model):
        whole = torch.nn.Module()
        whole.bbox_head = model
    runner = SimpleNamespace(model=whole)
    metainfo = dict(classes=names)
    data = SimpleNamespace(metainfo=metainfo)
    runner.test_dataloader = SimpleNamespace(dataset=data)
    FitScoresHook().before_test_epoch(runner)
    metainfo['classes'] = names[::-1]
    with pytest.raises(ValueError, match='other classes, or in another order'):
        FitScoresHook().before_test_epoch(runner)
