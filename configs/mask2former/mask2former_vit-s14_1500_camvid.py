_base_ = [
    '../_base_/mask2former_vit-s14_camvid.py',
    '../_base_/methods/masks.py',
]
max_iters = 1500
# The backbone runs once for each picture, for this and all other trainings.
# Without Maskomaly: none of the queries finds pasted objects here.
ood = dict(
    frozen=dict(cache='work_dirs/cache'),
    scores=['rba', 'mask2anomaly', 'eam', 'max_logit', 'msp', 'energy'],
)

from mmood.recipe import bake

bake(globals())
