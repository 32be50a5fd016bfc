# Train it, or test a checkpoint of mmseg's mask2former_swin-l of Cityscapes.
_base_ = [
    '../_base_/models/mask2former_swin-l.py',
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

# Rates of its own for the backbone's norms and embeddings.
from mmengine.hub import get_config

optim_wrapper = get_config(
    'mmseg::mask2former/mask2former_swin-l-in22k-384x384-pre_8xb2-90k_'
    'cityscapes-512x1024.py'
).optim_wrapper.to_dict()

from mmood.recipe import bake

bake(globals())
