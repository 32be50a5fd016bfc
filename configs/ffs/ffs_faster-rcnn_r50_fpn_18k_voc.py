_base_ = [
    '../_base_/faster-rcnn_r50_fpn_18k_voc.py',
    '../_base_/methods/ffs.py',
]

from mmood.recipe import bake

bake(globals())
