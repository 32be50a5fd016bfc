_base_ = [
    '../_base_/mask2former_vit-s14_camvid.py',
    '../_base_/methods/masks.py',
]
max_iters = 1500
# The backbone runs once for each picture, for this and all other trainings.
ood = dict(frozen=dict(cache='work_dirs/cache'))

from mmood.recipe import bake

bake(globals())
