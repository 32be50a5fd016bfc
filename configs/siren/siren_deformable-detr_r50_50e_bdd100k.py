_base_ = [
    '../_base_/deformable-detr_r50_50e_bdd100k.py',
    '../_base_/methods/siren_detr.py',
]
siren_channels = 64

from mmood.recipe import bake

bake(globals())
