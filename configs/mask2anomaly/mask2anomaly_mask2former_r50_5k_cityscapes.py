# Needs load_from: a Mask2Former with ResNet-50 of Cityscapes, such as mmseg's
# or that of mask2former/; and COCO's training images with their instances.
_base_ = [
    '../_base_/models/mask2former_r50.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/datasets/coco_objects.py',
    '../_base_/schedules/mask2former.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/mask2anomaly.py',
]
max_iters, crop_size = 5000, (380, 760)
objects = '$coco_objects'
train_pipeline = '$crop_pipeline'
train_dataloader = dict(batch_size=1)  # of 8 GPUs
optim_wrapper = dict(optimizer=dict(lr=1e-5))
train_cfg = dict(val_interval=1000)
model = dict(data_preprocessor=dict(size='$crop_size'))
val_set = '$id_val_set'

from mmood.recipe import bake

bake(globals())
