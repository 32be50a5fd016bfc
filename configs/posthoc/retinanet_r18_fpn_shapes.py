_base_ = [
    '../_base_/retinanet_r18_fpn_shapes.py',
    '../_base_/methods/posthoc_dense.py',
]

from mmood.recipe import bake

bake(globals())
