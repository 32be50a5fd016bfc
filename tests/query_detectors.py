"""Small DETR detectors, as MMDetection's configs have them.

Shapes: K classes, Q queries, images of 64 x 96 px.
"""

import copy
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmood.registry import MODELS

K, Q = 3, 20
FILES = dict(
    detr='detr/detr_r50_8xb2-150e_coco.py',
    conditional='conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
    deformable='deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    dino='dino/dino-4scale_r50_8xb2-12e_coco.py',
)


@lru_cache(None)
def _loaded(kind):
    root = Path(find_spec('mmdet').origin).parent / '.mim/configs'
    return Config.fromfile(root / FILES[kind]).model


def config(kind):
    """Of a detector with a small backbone and few layers and queries."""
    cfg = copy.deepcopy(_loaded(kind))
    cfg.backbone.update(depth=18, base_channels=8, init_cfg=None)
    cfg.backbone.norm_cfg = dict(type='BN')
    cfg.neck.in_channels = [c // 32 for c in cfg.neck.in_channels]
    cfg.encoder.num_layers, cfg.decoder.num_layers = 1, 2
    cfg.num_queries, cfg.test_cfg = Q, dict(max_per_img=Q)
    cfg.bbox_head.num_classes = K
    if kind == 'dino':
        cfg.dn_cfg.group_cfg.num_dn_queries = 4
    return cfg


def plain_detector(kind, **more):
    torch.manual_seed(0)
    cfg = config(kind)
    for key, value in more.items():  # in the place of what is there
        cfg.bbox_head[key] = value
    model = MODELS.build(cfg)
    model.init_weights()
    for name, parameter in model.bbox_head.named_parameters():
        if 'cls' in name:  # confidences that differ
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def ood_detector(kind, scores=('energy', 'max_logit'), like=None, **more):
    """The same with scores, and with the weights of a plain one."""
    cfg = config(kind)
    head = cfg.bbox_head
    head.update(of=f'mmdet.{head.type}', type='mmood.OODHead')
    for key, value in {**more, 'scores': scores}.items():
        head[key] = value
    model = MODELS.build(cfg)
    own = {k: v for k, v in more.items() if k not in ('losses', 'outliers')}
    state = (like or plain_detector(kind, **own)).state_dict()
    assert not model.load_state_dict(state, strict=False).unexpected_keys
    return model.eval()


def samples(images=2, objects=3):
    """Data samples with boxes of known classes."""
    torch.manual_seed(2)
    found = []
    for _ in range(images):
        corner = torch.rand(objects, 2) * 30
        size = 10 + torch.rand(objects, 2) * 20
        meta = dict(
            img_shape=(64, 96),
            ori_shape=(128, 192),
            batch_input_shape=(64, 96),
            scale_factor=(0.5, 0.5),
        )
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + size], 1),
            labels=torch.arange(objects) % K,
        )
        found.append(sample)
    return found


def images(count=2):
    torch.manual_seed(1)
    return torch.randn(count, 3, 64, 96)


@torch.no_grad()
def predict(model, inputs=None):
    inputs = images() if inputs is None else inputs
    found = model.predict(inputs, samples(len(inputs)))
    return [sample.pred_instances for sample in found]
