"""Detectors as ONNX files, against PyTorch."""

import copy

import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import RetinaHead
from mmengine.registry import DefaultScope

from deploy_helpers import (
    CLASSES,
    LOAD,
    PHOTOS,
    assert_same_boxes,
    boxes_by_torch,
    exported,
    fit_scores,
    noise,
    one_stage,
    photograph,
)
from helpers import ROOT
from mmood.det import export_dense, export_roi
from mmood.det.export import plan
from mmood.det.models.dense import DenseAdapter
from mmood.recipe import load
from mmood.registry import MODELS
from mmood.scores import NotFittedError
from query_detectors import ood_detector

LIMIT = -1.25
COMPOUND = dict(type='compound', of=['energy', 'knn'])
SCORES = ['energy', 'msp', 'mahalanobis', 'knn', COMPOUND]


@pytest.fixture(scope='module')
def faster_rcnn():
    """Small and untrained, with fitted scores and a threshold."""
    path = ROOT / 'configs/posthoc/faster-rcnn_r18_fpn_shapes.py'
    cfg = load(path, dict(classes=CLASSES)).model
    cfg.roi_head.scores = SCORES
    cfg.roi_head.bbox_head.fc_out_channels = 32
    cfg.test_cfg.rcnn.update(score_thr=0.01, max_per_img=25)
    cfg.test_cfg.rpn.update(max_per_img=20, nms_pre=50)
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    for parameter in model.roi_head.bbox_head.parameters():
        parameter.data.normal_(std=0.2)
    model.dataset_meta = dict(classes=CLASSES)
    fit_scores(model.roi_head.scores, 32, 3)
    model.roi_head.scores.thresholds['energy'].fill_(LIMIT)
    model.roi_head.score_threshold.fill_(0.25)
    return model


@pytest.fixture(scope='module')
def file(faster_rcnn, tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'faster-rcnn.onnx'
    model, said = exported(plan(faster_rcnn, [LOAD]), path, (96, 128))
    assert said.startswith(f'{path}, ') and said.endswith('of any size')
    return model


SIZES = [(96, 128), (64, 64), (150, 101)]


@pytest.mark.parametrize('size', SIZES)
def test_faster_rcnn(file, faster_rcnn, size):
    picture = noise(*size)
    assert_same_boxes(file(picture), boxes_by_torch(faster_rcnn, picture), 5)


@pytest.mark.parametrize('name', PHOTOS)
def test_faster_rcnn_on_a_photograph(file, faster_rcnn, name):
    picture = photograph(name)
    assert_same_boxes(file(picture), boxes_by_torch(faster_rcnn, picture), 5)


def test_what_it_says_of_itself(file):
    about = file.about
    assert (about['task'], about['classes']) == ('detection', [*CLASSES])
    assert about['scores'] == ['energy', 'msp', 'mahalanobis', 'knn'] + [
        'compound'
    ]
    assert about['thresholds'] == dict(energy=LIMIT)
    assert (about['score_threshold'], about['size']) == (0.25, None)
    assert file.outputs[:3] == ['boxes', 'labels', 'scores']
    assert file.outputs[-1] == 'is_ood'


def test_names_and_thresholds(file):
    picture = noise(64, 64)
    found = file(picture)
    assert found['class_names'] == [CLASSES[i] for i in found['labels']]
    energy = found['ood_scores']['energy']
    np.testing.assert_array_equal(found['is_ood'], energy > LIMIT)
    raw, _ = file.raw(picture)
    np.testing.assert_array_equal(raw['is_ood'], energy > LIMIT)
    ordered = np.sort(energy)  # the widest gap, so that rounding is nothing
    widest = np.diff(ordered).argmax()
    middle = float(ordered[widest : widest + 2].mean())
    moved = file(picture, threshold=middle)
    np.testing.assert_array_equal(moved['is_ood'], energy > middle)
    assert 'is_ood' not in file(picture, score='knn')
    other = file(picture, score='knn', threshold=0.0)
    assert other['is_ood'].all()


def test_no_detection(faster_rcnn, tmp_path):
    """Empty arrays; without a threshold there is no is_ood."""
    model = copy.deepcopy(faster_rcnn)
    model.roi_head.test_cfg.score_thr = 2.0
    model.roi_head.scores.thresholds.forget()
    chosen = plan(model, [LOAD], ['msp'])
    file, _ = exported(chosen, tmp_path / 'a.onnx', (64, 64), is_fixed=True)
    found = file(noise(64, 64))
    assert found['boxes'].shape == (0, 4)
    assert found['scores'].shape == found['labels'].shape == (0,)
    assert found['ood_scores']['msp'].shape == (0,)
    assert 'is_ood' not in found and 'is_ood' not in file.outputs
    with pytest.raises(ValueError, match=r'for 64 x 64 pixels, and a picture'):
        file(noise(96, 64))


ONE_STAGE = ['energy', 'max_logit', 'mahalanobis', 'knn']


def one_stage_file(kind, folder):
    model = one_stage(kind, ONE_STAGE)
    path = folder / f'{kind}.onnx'
    file, said = exported(plan(model, [LOAD]), path, (64, 96))
    assert said.endswith('any size')
    return file, model


@pytest.mark.parametrize(
    'kind', ['retina_softmax', 'fcos', 'atss', 'gfl', 'yolox', 'rtmdet']
)
def test_one_stage_heads(kind, tmp_path):
    file, model = one_stage_file(kind, tmp_path)
    # At 130 px two anchors of the padding have one score, and each program
    # keeps another of their boxes.
    for size in ((64, 96), (60, 110)):
        picture = noise(*size)
        assert_same_boxes(file(picture), boxes_by_torch(model, picture), 5)


@pytest.fixture(scope='module')
def retina(tmp_path_factory):
    with DefaultScope.overwrite_default_scope('mmdet'):
        return one_stage_file('retina', tmp_path_factory.mktemp('onnx'))


@pytest.mark.parametrize('size', SIZES)
def test_a_retina_head(retina, size):
    (file, model), picture = retina, noise(*size)
    assert_same_boxes(file(picture), boxes_by_torch(model, picture), 5)


@pytest.mark.parametrize('name', PHOTOS)
def test_a_retina_head_on_a_photograph(retina, name):
    (file, model), picture = retina, photograph(name)
    assert_same_boxes(file(picture), boxes_by_torch(model, picture), 5)


def test_scores_that_cannot_be_exported(faster_rcnn):
    model = copy.deepcopy(faster_rcnn)
    with pytest.raises(ValueError, match="scores must be of .* got \\['a'\\]"):
        plan(model, [LOAD], ['energy', 'a'])
    with pytest.raises(ValueError, match=r"compound.* is of \['knn'\]"):
        plan(model, [LOAD], ['energy', 'compound'])
    model.roi_head.scores.fitted['knn'].forget()
    with pytest.raises(NotFittedError, match="'knn' is not fitted"):
        plan(model, [LOAD], ['energy', 'knn'])
    found = plan(model, [LOAD])
    assert found.about['scores'] == ['energy', 'msp', 'mahalanobis']
    assert set(found.left_out) == {'knn', 'compound'}


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(nms=dict(type='soft_nms', iou_threshold=0.5)), 'soft_nms'),
        (dict(min_bbox_size=4), 'min_bbox_size=4'),
        (dict(nms_pre=-1), 'nms_pre must be set'),
    ],
)
def test_test_configs_that_the_graph_has_not(change, said):
    model = one_stage('retina', ['energy'])
    model.bbox_head.test_cfg.update(change)
    with pytest.raises(ValueError, match=said):
        plan(model, [LOAD])


def test_heads_that_the_graph_has_not(faster_rcnn):
    model = one_stage('retina', ['energy'])
    with pytest.raises(ValueError, match='has no scores: give it an'):
        plan(torch.nn.Identity(), [LOAD])
    model.bbox_head.bbox_coder = Legacy()
    with pytest.raises(ValueError, match='box coder Legacy'):
        plan(model, [LOAD])
    model = copy.deepcopy(faster_rcnn)
    model.roi_head._misfit = 'the checkpoint has another classifier'
    with pytest.raises(ValueError, match='another classifier'):
        plan(model, [LOAD])


class Legacy:
    pass


@pytest.mark.parametrize('kind', ['deformable', 'dino'])
def test_a_detr_is_refused(kind):
    model = ood_detector(kind)
    model.dataset_meta = dict(classes=CLASSES)
    with pytest.raises(ValueError, match='no graph .* queries of a DETR'):
        plan(model, [LOAD])


def test_detr_and_cascade_heads_are_refused(faster_rcnn):
    with pytest.raises(ValueError, match='Identity cannot be exported: of D'):
        export_dense.check(torch.nn.Identity())
    model = copy.deepcopy(faster_rcnn)
    model.rpn_head.test_cfg.nms_pre = 0
    with pytest.raises(ValueError, match='RPNHead with nms_pre=0 cannot'):
        export_roi.check(model)
    model.roi_head = torch.nn.Identity()
    with pytest.raises(ValueError, match='of RoI heads mmood.OODRoIHead can'):
        export_roi.check(model)
    model = one_stage('retina', ['energy'])
    own = type('Own', (RetinaHead,), dict(_bbox_post_process=None))
    model.bbox_head.__class__ = type('OODOwn', (DenseAdapter, own), {})
    with pytest.raises(ValueError, match='boxes in a way of its own'):
        plan(model, [LOAD])
