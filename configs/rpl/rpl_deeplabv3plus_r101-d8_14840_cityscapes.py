# Needs load_from: a DeepLabV3+ with ResNet-101 of Cityscapes, such as
# mmseg's; and COCO's training images of 2017 with their instances.
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/poly_iters.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/rpl.py',
]
max_iters, least_lr, crop_size = 14840, 0.0, (700, 700)  # 40 epochs
objects = dict(
    type='mmood.CocoObjects',
    ann_file='data/coco/annotations/instances_train2017.json',
    img_prefix='data/coco/train2017',
    id_classes=['person', 'bicycle', 'car', 'motorcycle', 'bus', 'train',
                'truck', 'traffic light', 'stop sign'],
    overlap='drop',
    pure_images=True,
)  # fmt: skip
paste = dict(area=(2e-4, 0.05))
train_pipeline = '$augmented_pipeline'
train_dataloader = dict(batch_size=8)
train_cfg = dict(val_begin=10**9)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=7.5e-5),
    paramwise_cfg=dict(custom_keys={'block.out': dict(lr_mult=10.0)}),
)
norm_cfg = dict(type='BN')
model = dict(
    pretrained=None,
    data_preprocessor=dict(size='$crop_size'),
    backbone=dict(depth=101, norm_cfg=norm_cfg),
    decode_head=dict(norm_cfg=norm_cfg),
    auxiliary_head=None,
)

from mmood.recipe import bake

bake(globals())
