_base_ = [
    '../_base_/dino-4scale_r50_90k_bdd100k.py',
    '../_base_/methods/posthoc_dense.py',
]

from mmood.recipe import bake

bake(globals())
