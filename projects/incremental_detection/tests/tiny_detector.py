"""A small detector of five classes on 64 px noise images."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from helpers import ROOT
from mmood.registry import MODELS
from projects.incremental_detection import incremental_detection  # noqa: F401

K = 5
OLD = 3
IOD = dict(backbone=dict(weight=1.0), roi=dict(weight=0.2))
FASTER_ILOD = dict(
    adaptive_backbone=dict(weight=3.0),
    adaptive_rpn=dict(threshold=0.2),
    centred_roi=dict(num=8, of=8),
)
FPN = dict(type='FPN', in_channels=[8, 16, 32], out_channels=16, num_outs=3)
PER_CLASS = {'roi_head.bbox_head.reg_class_agnostic': False}
AGNOSTIC = {'roi_head.bbox_head.reg_class_agnostic': True}
WITH_DFDD = {
    **AGNOSTIC,
    'neck': [FPN, dict(type='mmood.DFDDNeck', channels=16)],
    'roi_head.type': 'mmood.OODRoIHead',
    'roi_head.losses': [
        dict(type='mmood.LogisticUncertaintyLoss'),
        dict(type='mmood.ConsistencyLoss'),
    ],
    'roi_head.outliers': dict(type='mmood.BlurredOutliers'),
}


@cache
def shapes_detector() -> Config:
    return Config.fromfile(ROOT / 'configs/_base_/models/shapes_detector.py')


def detector_config(num_seen: int = K, **options) -> dict:
    """An `IncrementalFasterRCNN`; dotted options go on top."""
    cfg = copy.deepcopy(shapes_detector())
    cfg.merge_from_dict(
        {
            'model.type': 'mmood.IncrementalFasterRCNN',
            'model.backbone.base_channels': 8,
            'model.backbone.norm_eval': True,
            'model.neck.in_channels': [8, 16, 32],
            'model.neck.out_channels': 16,
            'model.rpn_head.in_channels': 16,
            'model.rpn_head.feat_channels': 16,
            'model.roi_head.type': 'StandardRoIHead',
            'model.roi_head.bbox_roi_extractor.out_channels': 16,
            'model.roi_head.bbox_head.in_channels': 16,
            'model.roi_head.bbox_head.fc_out_channels': 24,
            'model.roi_head.bbox_head.num_classes': K,
            'model.roi_head.bbox_head.cls_predictor_cfg': dict(
                type='mmood.GrowingLinear', num_seen=num_seen
            ),
            'model.train_cfg.rcnn.sampler.num': 16,
            'model.train_cfg.rpn_proposal.max_per_img': 30,
            'model.test_cfg.rpn.max_per_img': 20,
            **{f'model.{name}': value for name, value in options.items()},
        }
    )
    cfg.model.roi_head.pop('scores', None)
    if cfg.model.roi_head.type == 'mmood.OODRoIHead':
        cfg.model.roi_head.scores = ['energy']
    return cfg.model


def build_detector(num_seen: int = K, **options) -> torch.nn.Module:
    """With weights far from their start, so that every term is seen."""
    detector = MODELS.build(detector_config(num_seen, **options))
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if parameter.dim() > 1:
                scale = 0.3 if name.startswith('roi_head') else 0.1
                parameter.normal_(std=scale)
    return detector.train()


def batch(images: int = 2, boxes: int = 3, labels: int = K) -> tuple:
    """Inputs (B, 3, 64, 64) and samples with boxes of random classes."""
    samples = []
    for _ in range(images):
        meta = dict(
            img_shape=(64, 64),
            ori_shape=(64, 64),
            pad_shape=(64, 64),
            scale_factor=(1.0, 1.0),
        )
        low = torch.rand(boxes, 2) * 36
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([low, low + 8 + torch.rand(boxes, 2) * 18], 1),
            labels=torch.randint(labels, (boxes,)),
        )
        samples.append(sample)
    return torch.randn(images, 3, 64, 64), samples


def two_steps(
    folder: Path, distillation: dict, options: dict = AGNOSTIC, **more
) -> tuple:
    """The detector of a first step and one that goes on from it.

    The second is disturbed, so that it differs from its teacher.
    """
    before = build_detector(OLD, **options)
    path = folder / 'before.pth'
    torch.save(dict(state_dict=before.state_dict(), meta={}), path)
    more = dict(teacher=str(path), distillation=distillation, **more)
    student = build_detector(K, num_old=OLD, **options, **more)
    student.init_weights()
    student.load_state_dict(before.state_dict())
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return before.eval(), student


def losses_of(detector: torch.nn.Module, data: tuple) -> tuple:
    """Losses, and the RoIs of each call to the extractor."""
    rois = []
    handle = detector.roi_head.bbox_roi_extractor.register_forward_pre_hook(
        lambda _, inputs: rois.append(inputs[1])
    )
    torch.manual_seed(5)
    losses = detector.loss(*data)
    handle.remove()
    return losses, rois
