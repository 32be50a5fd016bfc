_base_ = [
    '../_base_/faster-rcnn_r50_fpn_90k_bdd100k.py',
    '../_base_/methods/vos.py',
]

from mmood.recipe import bake

bake(globals())
