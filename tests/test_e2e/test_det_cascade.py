"""A Cascade R-CNN with a method, from its config to the inferencer, tiny."""

import json

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from det_helpers import KINDS
from helpers import ROOT, tiny_options
from mmood.config import read_config
from mmood.det import OODDetInferencer
from mmood.det.models import OODCascadeRoIHead
from mmood.recipe import merge_options, resolve

DFDD = ROOT / 'configs/dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'
COMPOUND = dict(type='compound', of=['energy', 'mahalanobis'])
SCORES = ['energy', dict(type='mahalanobis', shrinkage=0.1), COMPOUND]
# Of so little training every box counts.
TINY = {
    'ood.scores': SCORES,
    'model.test_cfg.rcnn.score_thr': 0.0,
    'val_evaluator.score_threshold': 0.0,
    'test_evaluator.score_threshold': 0.0,
}


def cascade(data, work_dir):
    """DFDD's config with the stages of mmdet's own cascade head."""
    cfg = read_config(DFDD)
    merge_options(cfg, {**tiny_options(data), **TINY})
    model, kind = cfg.model, KINDS['cascade']
    head = dict(model.roi_head.bbox_head, reg_class_agnostic=True)
    model.type = 'CascadeRCNN'
    model.roi_head.update(
        type='CascadeRoIHead',
        num_stages=3,
        stage_loss_weights=kind['stage_loss_weights'],
        bbox_head=[
            {**head, 'bbox_coder': stage['bbox_coder']}
            for stage in kind['bbox_head']
        ],
    )
    rcnn = model.train_cfg.rcnn
    model.train_cfg.rcnn = [
        dict(rcnn, assigner=stage['assigner']) for stage in kind['train_cfg']
    ]
    cfg = resolve(cfg)
    cfg.work_dir = str(work_dir)
    cfg.visualizer.name = str(work_dir)
    return cfg


def test_cascade_trains_fits_calibrates_and_finds(shapes, tmp_path):
    runner = Runner.from_cfg(cascade(shapes, tmp_path))
    head = runner.model.roi_head
    assert isinstance(head, OODCascadeRoIHead)
    runner.train()
    history = runner.message_hub.log_scalars
    for name in ('loss_uncertainty', 'loss_consistency', 'loss_deblur'):
        values = np.array(history[f'train/{name}'].data[0])
        assert np.isfinite(values).all() and (values > 0).all(), name
    assert 'train/s2.loss_cls' in history
    path = tmp_path / 'epoch_1.pth'
    state = torch.load(path, weights_only=True)['state_dict']
    limits = {
        name: state[f'roi_head.scores.thresholds.{name}']
        for name in ('energy', 'mahalanobis', 'compound')
    }
    assert all(torch.isfinite(limit) for limit in limits.values())

    cfg = cascade(shapes, tmp_path / 'test')
    cfg.load_from = str(path)
    metrics = Runner.from_cfg(cfg).test()
    for name in limits:
        for origin in ('near', 'far'):
            assert 0 <= metrics[f'ood/{origin}/{name}/AUROC'] <= 1

    inferencer = OODDetInferencer(
        cfg, str(path), device='cpu', show_progress=False
    )
    image = str(shapes / 'near/images/near_00000.png')
    (one,) = inferencer(image)['predictions']
    assert one['ood_threshold'] == pytest.approx(limits['energy'].item())
    scores = np.array(one['ood_scores'])
    assert len(scores)
    np.testing.assert_array_equal(
        one['is_ood'], scores > limits['energy'].item()
    )
    classes = json.loads((shapes / 'annotations/val.json').read_text())
    names = {category['name'] for category in classes['categories']}
    assert set(one['class_names']) <= names
