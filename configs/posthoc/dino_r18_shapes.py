_base_ = [
    '../_base_/dino_r18_shapes.py',
    '../_base_/methods/posthoc_dense.py',
]

from mmood.recipe import bake

bake(globals())
