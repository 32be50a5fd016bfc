_base_ = [
    '../_base_/faster-rcnn_lite0_fpn_shapes.py',
    '../_base_/methods/vos.py',
]

from mmood.recipe import bake

bake(globals())
