_base_ = [
    '../_base_/faster-rcnn_r18_fpn_shapes.py',
    '../_base_/methods/godin.py',
]

from mmood.recipe import bake

bake(globals())
