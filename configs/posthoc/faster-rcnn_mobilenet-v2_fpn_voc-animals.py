_base_ = [
    '../_base_/faster-rcnn_mobilenet-v2_fpn_voc-animals.py',
    '../_base_/methods/posthoc_all.py',
]

from mmood.recipe import bake

bake(globals())
