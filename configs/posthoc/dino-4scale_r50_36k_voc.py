_base_ = [
    '../_base_/dino-4scale_r50_36k_voc.py',
    '../_base_/methods/posthoc_dense.py',
]

from mmood.recipe import bake

bake(globals())
