"""A Cascade R-CNN with a method, from its config to the inferencer, tiny."""

import json

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from helpers import ROOT, tiny_options
from mmood.det import OODDetInferencer
from mmood.det.models import OODCascadeRoIHead
from mmood.recipe import load

CONFIGS = ROOT / 'configs/_base_'
TEXT = f"""
_base_ = [
    '{CONFIGS}/faster-rcnn_r18_fpn_shapes.py',
    '{CONFIGS}/methods/dfdd.py',
]
head = dict(_base_.model.roi_head.bbox_head, fc_out_channels=32)
head.update(reg_class_agnostic=True)
coder = dict(type='DeltaXYWHBBoxCoder')
model = dict(
    type='CascadeRCNN',
    roi_head=dict(
        type='CascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=[
            dict(head, bbox_coder=dict(coder, target_stds=[std] * 4))
            for std in (0.1, 0.07, 0.05)
        ],
    ),
    train_cfg=dict(rcnn=['$stage'] * 3),
)
stage = dict(_base_.model.train_cfg.rcnn)
stage.update(sampler=dict(stage['sampler'], num=16))
"""
# Of a single stage.
OF_ONE = (
    'model.roi_head.bbox_head.fc_out_channels',
    'model.train_cfg.rcnn.sampler.num',
)
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
    """DFDD beside a cascade's file, shrunk."""
    work_dir.mkdir(parents=True, exist_ok=True)
    path = work_dir / 'cascade.py'
    path.write_text(TEXT)
    options = {**tiny_options(data), **TINY}
    cfg = load(path, {k: v for k, v in options.items() if k not in OF_ONE})
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
