_base_ = [
    '../_base_/retinanet_mobilenet-v2_fpn_voc-animals.py',
    '../_base_/methods/posthoc_dense.py',
]

from mmood.recipe import bake

bake(globals())
