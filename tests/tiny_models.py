"""Untrained models of a few classes: config and checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from helpers import ROOT
from mmood.recipe import load
from seg_helpers import build_segmentor, tiny_segmentor

CLASSES = ('circle', 'bar', '<b>star</b>')
CONFIDENCE, LIMIT = 0.346, -2.1


def write_detector(folder: Path) -> tuple[Config, Path]:
    """Of scores ``energy``, whose limit splits the boxes, and ``msp``."""
    path = ROOT / 'configs/posthoc/faster-rcnn_r18_fpn_shapes.py'
    cfg = load(path, dict(classes=CLASSES))
    cfg.model.roi_head.scores = ['energy', 'msp']
    cfg.model.roi_head.bbox_head.fc_out_channels = 32
    cfg.model.test_cfg.rcnn.update(score_thr=0.01, max_per_img=25)
    cfg.model.test_cfg.rpn.max_per_img = 20
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.roi_head.bbox_head.parameters():
        parameter.data.normal_(std=0.2)
    model.roi_head.scores.thresholds['energy'].fill_(LIMIT)
    model.roi_head.score_threshold.fill_(CONFIDENCE)
    return cfg, _saved(model, folder, dict(classes=CLASSES))


def write_segmentor(folder: Path) -> tuple[Config, Path]:
    """Of the score ``compound`` and others, whose limit splits the pixels."""
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
    palette = [[60 * i, 200 - 60 * i, 90] for i in range(4)]
    meta = dict(classes=['ground', 'a', 'b', 'c'], palette=palette)
    return cfg, _saved(model, folder, meta)


def _saved(model: torch.nn.Module, folder: Path, meta: dict) -> Path:
    path = folder / 'model.pth'
    content = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta))
    torch.save(content, path)
    return path
