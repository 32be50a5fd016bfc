"""Tiny Mask2Formers and MaskFormers on several backbones.

Shapes: K = 4 classes, N = 7 queries, masks of a quarter of the image's side.
"""

from __future__ import annotations

import torch
from mmengine.config import ConfigDict
from torch import nn

from mmood.registry import MODELS
from seg_helpers import tiny_segmentor

K, N, WIDTH = 4, 7, 16
# What weights are multiplied by, so that queries differ.
_LIVELY = dict(cls_embed=5, mask_embed=3, query_embed=3)
BN = dict(type='BN')
# Each with the channels of its four maps.
BACKBONES = dict(
    r50=(
        dict(type='ResNet', depth=50, base_channels=4, stem_channels=4,
             norm_cfg=BN),
        (16, 32, 64, 128),
    ),
    r18=(
        dict(type='ResNet', depth=18, base_channels=8, stem_channels=8,
             norm_cfg=BN),
        (8, 16, 32, 64),
    ),
    swin=(
        dict(type='SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1),
             num_heads=(1, 1, 2, 2), window_size=2),
        (8, 16, 32, 64),
    ),
    mit=(
        dict(type='MixVisionTransformer', embed_dims=8,
             num_layers=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]),
        (8, 8, 8, 8),
    ),
    timm=(
        dict(type='mmood.TimmBackbone', name='test_resnet',
             out_indices=(1, 2, 3, 4)),
        (32, 48, 192, 96),
    ),
)  # fmt: skip


def head(channels: tuple[int, ...], kind: str = 'Mask2FormerHead') -> dict:
    attention = dict(embed_dims=WIDTH, num_heads=2, batch_first=True)
    ffn = dict(embed_dims=WIDTH, feedforward_channels=16, num_fcs=2,
               act_cfg=dict(type='ReLU', inplace=True))  # fmt: skip
    encoding = dict(num_feats=WIDTH // 2, normalize=True)
    pixels = dict(
        norm_cfg=dict(type='GN', num_groups=2), act_cfg=dict(type='ReLU')
    )
    own: dict
    if kind == 'Mask2FormerHead':
        deformable = dict(embed_dims=WIDTH, num_heads=2, num_levels=3,
                          num_points=2, batch_first=True)  # fmt: skip
        own = dict(
            strides=[4, 8, 16, 32],
            num_transformer_feat_level=3,
            pixel_decoder=dict(
                pixels,
                type='mmdet.MSDeformAttnPixelDecoder',
                num_outs=3,
                encoder=dict(
                    num_layers=1,
                    layer_cfg=dict(self_attn_cfg=deformable, ffn_cfg=ffn),
                ),
                positional_encoding=encoding,
            ),
            transformer_decoder=dict(
                return_intermediate=True,
                num_layers=2,
                layer_cfg=dict(
                    self_attn_cfg=attention,
                    cross_attn_cfg=attention,
                    ffn_cfg=ffn,
                ),
            ),
        )
        train_cfg = dict(
            num_points=64, oversample_ratio=3.0, importance_sample_ratio=0.75
        )
    else:
        own = dict(
            pixel_decoder=dict(pixels, type='mmdet.PixelDecoder'),
            enforce_decoder_input_project=False,
            transformer_decoder=dict(
                return_intermediate=True,
                num_layers=2,
                layer_cfg=dict(
                    self_attn_cfg=attention,
                    cross_attn_cfg=attention,
                    ffn_cfg=ffn,
                ),
            ),
        )
        train_cfg = {}
    costs = [
        dict(type='mmdet.ClassificationCost', weight=2.0),
        dict(type='mmdet.CrossEntropyLossCost', weight=5.0, use_sigmoid=True)
        if kind == 'Mask2FormerHead'
        else dict(type='mmdet.FocalLossCost', weight=20.0, binary_input=True),
        dict(type='mmdet.DiceCost', weight=5.0, pred_act=True, eps=1.0),
    ]
    sizes = dict(in_channels=list(channels), feat_channels=WIDTH)
    return dict(
        sizes,
        type=kind,
        out_channels=WIDTH,
        num_classes=K,
        num_queries=N,
        positional_encoding=encoding,
        loss_cls=dict(type='mmdet.CrossEntropyLoss', loss_weight=2.0,
                      class_weight=[1.0] * K + [0.1]),
        loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
        if kind == 'Mask2FormerHead'
        else dict(type='mmdet.FocalLoss', use_sigmoid=True, loss_weight=20.0),
        loss_dice=dict(type='mmdet.DiceLoss', use_sigmoid=True, activate=True,
                       naive_dice=True, eps=1.0),
        train_cfg=dict(
            train_cfg,
            assigner=dict(type='mmdet.HungarianAssigner', match_costs=costs),
            sampler=dict(type='mmdet.MaskPseudoSampler'),
        ),
        **own,
    )  # fmt: skip


def config(backbone: str = 'r18', kind: str = 'Mask2FormerHead', **options):
    body, channels = BACKBONES[backbone]
    processor = dict(tiny_segmentor().data_preprocessor)
    return ConfigDict(
        type='mmood.OODEncoderDecoder',
        data_preprocessor=processor,
        backbone=body,
        decode_head=head(channels, kind),
        test_cfg=dict(mode='whole'),
    ) | ConfigDict(options)


def build(scores: list, *args, **options) -> nn.Module:
    """From random weights: queries of several classes, masks that vary."""
    torch.manual_seed(0)
    model = MODELS.build(config(*args, scores=scores, **options))
    parts = model.decode_head
    with torch.no_grad():
        for name, scale in _LIVELY.items():
            for weight in getattr(parts, name).parameters():
                weight.mul_(scale)
    return model.eval()
