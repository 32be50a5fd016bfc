"""Tiny segmentors of mmseg's families, and a batch for them."""

from __future__ import annotations

import torch
from mmengine.config import ConfigDict
from torch import nn

from mmood.registry import MODELS
from seg_helpers import lively, seg_batch, tiny_segmentor

BN = dict(type='BN')
RESNET = dict(
    type='ResNetV1c',
    depth=18,
    base_channels=8,
    stem_channels=8,
    dilations=(1, 1, 2, 4),
    strides=(1, 2, 1, 1),
    norm_cfg=BN,
)
HEAD = dict(num_classes=4, dropout_ratio=0.0, norm_cfg=BN)
FAMILIES = dict(
    fcn=dict(
        backbone=RESNET,
        decode_head=dict(
            HEAD, type='FCNHead', in_channels=64, channels=16, num_convs=1
        ),
        probe=dict(module='backbone.layer4', channels=64),
    ),
    deeplabv3plus=dict(
        backbone=RESNET,
        decode_head=dict(
            HEAD,
            type='DepthwiseSeparableASPPHead',
            in_channels=64,
            channels=16,
            dilations=(1, 2),
            c1_in_channels=8,
            c1_channels=4,
        ),
        probe=dict(module='decode_head.sep_bottleneck', channels=16),
    ),
    segformer=dict(
        backbone=dict(
            type='MixVisionTransformer',
            embed_dims=8,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
        ),
        decode_head=dict(
            HEAD,
            type='SegformerHead',
            in_channels=[8, 8, 8, 8],
            in_index=[0, 1, 2, 3],
            channels=16,
        ),
    ),
    segmenter=dict(
        backbone=tiny_segmentor()['backbone'],
        decode_head=dict(
            type='SegmenterMaskTransformerHead',
            in_channels=32,
            channels=32,
            num_classes=4,
            num_layers=1,
            num_heads=2,
            embed_dims=32,
            dropout_ratio=0.0,
        ),
    ),
    cgnet=dict(
        backbone=dict(
            type='CGNet',
            norm_cfg=BN,
            num_channels=(16, 16, 16),
            num_blocks=(1, 1),
        ),
        decode_head=dict(
            HEAD,
            type='FCNHead',
            in_channels=32,
            in_index=2,
            channels=32,
            num_convs=0,
            concat_input=False,
        ),
        probe=dict(module='backbone', index=-1, channels=32),
    ),
)


def build(
    family: str, scores: list, **options
) -> tuple[nn.Module, ConfigDict]:
    """A segmentor that has seen a batch, and its config."""
    model = dict(FAMILIES[family], type='mmood.OODEncoderDecoder')
    preprocessor = dict(tiny_segmentor()['data_preprocessor'])
    more = dict(scores=scores, data_preprocessor=preprocessor)
    cfg = ConfigDict({**model, **more, **options})
    cfg.setdefault('test_cfg', dict(mode='whole'))
    built = lively(MODELS.build(cfg))
    for module in built.modules():
        if hasattr(module, 'momentum'):
            module.momentum = 1.0
    with torch.no_grad():
        built.train()._forward(torch.randn(4, 3, 48, 32))
    return built.eval(), cfg


def batch(seed: int = 1) -> dict:
    torch.manual_seed(seed)
    images, samples = seg_batch(2, (48, 32))
    images = (127.5 + 60 * images).clamp(0, 255)
    return dict(inputs=list(images), data_samples=samples)
