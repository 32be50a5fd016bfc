_base_ = [
    '../_base_/deformable-detr_r18_shapes.py',
    '../_base_/methods/siren_detr.py',
]

from mmood.recipe import bake

bake(globals())
