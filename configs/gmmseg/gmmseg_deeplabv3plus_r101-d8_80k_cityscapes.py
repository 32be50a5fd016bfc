# 8 GPUs with 2 crops each, as MMSegmentation trains DeepLabV3+.
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/poly_iters.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/gmmseg.py',
]
crop_size = (512, 1024)
train_pipeline = '$augmented_pipeline'
train_dataloader = dict(batch_size=2)
train_cfg = dict(val_begin=10**9)
default_hooks = dict(checkpoint=dict(interval=8000))
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    data_preprocessor=dict(size='$crop_size'),
    backbone=dict(depth=101),
)

from mmood.recipe import bake

bake(globals())
