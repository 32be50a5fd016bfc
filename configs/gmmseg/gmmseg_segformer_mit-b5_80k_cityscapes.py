# 8 GPUs with 2 crops each; load_from takes an ImageNet checkpoint of MiT-B5.
_base_ = [
    'mmseg::_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/poly_iters.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/gmmseg.py',
]
warmup = '3/160'
train_pipeline = '$augmented_pipeline'
train_dataloader = dict(batch_size=2)
train_cfg = dict(val_begin=10**9)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(
            pos_block=dict(decay_mult=0.0),
            norm=dict(decay_mult=0.0),
            head=dict(lr_mult=10.0),
        )
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, end='$warmup'),
    dict(type='PolyLR', power=1.0, by_epoch=False, begin='$warmup'),
]
default_hooks = dict(checkpoint=dict(interval=8000))
model = dict(
    data_preprocessor=dict(size='$crop_size'),
    backbone=dict(embed_dims=64, num_layers=[3, 6, 40, 3]),
    decode_head=dict(channels=768, in_channels=[64, 128, 320, 512]),
    test_cfg=dict(mode='slide', crop_size='$crop_size', stride=(512, 512)),
)

from mmood.recipe import bake

bake(globals())
