_base_ = [
    '../_base_/fcn_lite0_shapes.py',
    '../_base_/methods/posthoc_seg.py',
]

from mmood.recipe import bake

bake(globals())
