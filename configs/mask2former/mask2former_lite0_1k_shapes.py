_base_ = [
    '../_base_/mask2former_lite0_shapes.py',
    '../_base_/methods/masks.py',
]

from mmood.recipe import bake

bake(globals())
