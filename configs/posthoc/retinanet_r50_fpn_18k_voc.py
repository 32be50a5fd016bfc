_base_ = [
    '../_base_/retinanet_r50_fpn_18k_voc.py',
    '../_base_/methods/posthoc_dense.py',
]

from mmood.recipe import bake

bake(globals())
