_base_ = [
    '../_base_/faster-rcnn_r18_fpn_voc-mini.py',
    '../_base_/methods/posthoc.py',
]

from mmood.recipe import bake

bake(globals())
