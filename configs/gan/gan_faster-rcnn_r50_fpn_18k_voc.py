_base_ = [
    '../_base_/faster-rcnn_r50_fpn_18k_voc.py',
    '../_base_/methods/gan.py',
]

from mmood.recipe import bake

bake(globals())
