_base_ = [
    '../_base_/faster-rcnn_mobilenet-v2_fpn_voc-animals.py',
    '../_base_/methods/dfdd.py',
]
deblur_lr_mult = 1

from mmood.recipe import bake

bake(globals())
