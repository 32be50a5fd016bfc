_base_ = [
    '../_base_/rtmdet_tiny_36k_voc.py',
    '../_base_/methods/posthoc_dense.py',
]

from mmood.recipe import bake

bake(globals())
