_base_ = [
    '../_base_/retinanet_r50_fpn_90k_bdd100k.py',
    '../_base_/methods/posthoc_dense.py',
]

from mmood.recipe import bake

bake(globals())
