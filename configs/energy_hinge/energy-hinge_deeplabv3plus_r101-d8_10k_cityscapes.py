# Needs load_from: a DeepLabV3+ with ResNet-101 of Cityscapes, such as
# mmseg's; and COCO's training images with their instances.
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/datasets/coco_objects.py',
    '../_base_/schedules/poly_iters.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/energy_hinge.py',
]
max_iters, crop_size, least_lr = 10000, (512, 1024), 0.0
objects = '$coco_objects'
paste = dict(prob=0.5)
train_pipeline = '$augmented_pipeline'
train_dataloader = dict(batch_size=8)
train_cfg = dict(val_interval=2000)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
norm_cfg = dict(type='SyncBN')
model = dict(
    pretrained=None,
    data_preprocessor=dict(size='$crop_size'),
    backbone=dict(depth=101, norm_cfg=norm_cfg),
)
val_set = '$id_val_set'

from mmood.recipe import bake

bake(globals())
