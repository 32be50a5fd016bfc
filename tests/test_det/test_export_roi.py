"""Faster R-CNN with what a method adds to it, as ONNX files."""

import pytest
import torch
import torch.nn.functional as F

from deploy_helpers import (
    CLASSES,
    LOAD,
    assert_same_boxes,
    boxes_by_torch,
    exported,
    fit_scores,
    noise,
)
from helpers import ROOT
from mmood.det.export import plan
from mmood.recipe import load
from mmood.registry import MODELS

ASH_B = dict(type='ash', name='ash_b', kind='B')
SCORES = ['vmf', 'energy', ASH_B, 'siren_knn', 'csi', 'odin']
LOSSES = [dict(type='mmood.SIRENLoss'), dict(type='mmood.CSILoss')]


@pytest.fixture(scope='module')
def model():
    """DFDD's neck, SIREN's and CSI's heads, all small and untrained."""
    path = ROOT / 'configs/dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'
    cfg = load(path, dict(classes=CLASSES)).model
    cfg.roi_head.update(scores=SCORES, losses=LOSSES, outliers=None)
    cfg.roi_head.bbox_head.fc_out_channels = 32
    cfg.test_cfg.rcnn.update(score_thr=0.01, max_per_img=25)
    cfg.test_cfg.rpn.update(max_per_img=20, nms_pre=50)
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    for parameter in model.roi_head.bbox_head.parameters():
        parameter.data.normal_(std=0.2)
    model.dataset_meta = dict(classes=CLASSES)
    siren = next(iter(model.roi_head.losses.values()))
    siren.prototypes[:2] = F.normalize(torch.randn(2, siren.channels))
    scores = model.roi_head.scores
    csi = scores.fitted['csi']
    csi.bank = F.normalize(torch.randn(4, 10, csi.bank.shape[2]), dim=2)
    csi.weights.copy_(torch.rand(2, 4))
    csi.is_fitted.fill_(True)
    fit_scores(scores, 32, len(CLASSES), ['siren_knn'])
    return model


@pytest.fixture(scope='module')
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'a.onnx'
    planned = plan(model, [LOAD])
    assert set(planned.left_out) == {'odin'}
    found, said = exported(planned, path, (96, 128))
    assert said.endswith('of any size')
    return found


@pytest.mark.parametrize('size', [(96, 128), (64, 90)])
def test_what_methods_add(file, model, size):
    """A class that was never seen, the third of vmf's, does not count."""
    assert file.about['scores'] == [
        'vmf',
        'energy',
        'ash_b',
        'siren_knn',
        'csi',
    ]
    picture = noise(*size)
    expected = boxes_by_torch(model, picture)
    del expected['ood_scores']['odin']
    assert_same_boxes(file(picture), expected, 5)


def test_a_gradient_is_refused(model):
    with pytest.raises(ValueError, match="'odin' cannot be exported: it tak"):
        plan(model, [LOAD], ['odin'])
