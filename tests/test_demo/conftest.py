"""Untrained models of a few classes, and pictures."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from helpers import ROOT
from mmood.demo.model import Model
from mmood.recipe import load
from seg_helpers import build_segmentor, tiny_segmentor

CLASSES = ('circle', 'bar', '<b>star</b>')
CONFIDENCE = 0.346


@pytest.fixture(scope='session')
def detector(tmp_path_factory):
    """Of random weights; only the energy has a limit, which splits boxes."""
    path = ROOT / 'configs/posthoc/faster-rcnn_r18_fpn_shapes.py'
    cfg = load(path, dict(classes=CLASSES))
    cfg.model.roi_head.scores = ['msp', 'energy']
    cfg.model.roi_head.bbox_head.fc_out_channels = 32
    cfg.model.test_cfg.rcnn.update(score_thr=0.01, max_per_img=25)
    cfg.model.test_cfg.rpn.max_per_img = 20
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.roi_head.bbox_head.parameters():
        parameter.data.normal_(std=0.2)
    model.roi_head.scores.thresholds['energy'].fill_(-2.1)
    model.roi_head.score_threshold.fill_(CONFIDENCE)
    meta = dict(dataset_meta=dict(classes=CLASSES))
    path = tmp_path_factory.mktemp('detector') / 'model.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    cfg.model.roi_head.scores = ['energy', 'msp']
    return Model(cfg, path, 'cpu')


@pytest.fixture(scope='session')
def segmentor(tmp_path_factory):
    model = build_segmentor()
    model.scores.thresholds['compound'].fill_(-3.4)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmseg.PackSegInputs'),
    ]
    sets = [dict(type='mmood.OODSegDataset', pipeline=pipeline)]
    dataset = dict(type='ConcatDataset', datasets=sets)
    cfg = Config(
        dict(
            default_scope='mmseg',
            model=tiny_segmentor(),
            test_dataloader=dict(dataset=dataset),
        )
    )
    meta = dict(
        classes=['ground', 'a', 'b', 'c'],
        palette=[[9 * i] * 3 for i in range(4)],
    )
    path = tmp_path_factory.mktemp('segmentor') / 'model.pth'
    torch.save(
        dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), path
    )
    return Model(cfg, path, 'cpu')


@pytest.fixture(scope='session')
def picture():
    """BGR, with some structure."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (6, 8, 3), np.uint8)
    return cv2.resize(small, (128, 96), interpolation=cv2.INTER_CUBIC)
