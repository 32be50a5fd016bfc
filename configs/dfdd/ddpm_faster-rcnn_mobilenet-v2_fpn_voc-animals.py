_base_ = [
    '../_base_/faster-rcnn_mobilenet-v2_fpn_voc-animals.py',
    '../_base_/methods/dfdd.py',
]
deblur_lr_mult = 1
# As DDPM, in the place of blur.
ood = dict(neck=dict(diffusion=dict(_delete_=True, type='noise', num_steps=5)))

from mmood.recipe import bake

bake(globals())
