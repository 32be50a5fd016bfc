# Needs load_from: a Mask2Former with Swin-L of Cityscapes, such as mmseg's or
# that of mask2former/; and COCO's training images with their instances.
_base_ = [
    '../_base_/models/mask2former_swin-l.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/datasets/coco_objects.py',
    '../_base_/schedules/mask2former.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/rba.py',
]
max_iters, crop_size = 5000, (512, 1024)
objects = '$coco_objects'
coco_objects = dict(max_images=300)
train_pipeline = '$crop_pipeline'
train_dataloader = dict(batch_size=2)  # of 8 GPUs
train_cfg = dict(val_interval=1000)
val_set = '$id_val_set'

from mmood.recipe import bake

bake(globals())
