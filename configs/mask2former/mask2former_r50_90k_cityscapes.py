# Train it, or test a checkpoint of mmseg's mask2former_r50 of Cityscapes.
_base_ = [
    '../_base_/models/mask2former_r50.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/mask2former.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/masks.py',
]
crop_size = (512, 1024)
train_pipeline = '$crop_pipeline'
train_dataloader = dict(batch_size=2)
default_hooks = dict(checkpoint=dict(interval=5000))

from mmood.recipe import bake

bake(globals())
