# Means that follow faster: a thousand steps fill no queue of 32,000.
_base_ = ['../_base_/linear_vit-s14_camvid.py', '../_base_/methods/gmmseg.py']
max_iters = 1000
mixtures = dict(queue_size=1000, momentum=(0.9, 0.0))
# The backbone runs once for each picture, for this and all other trainings.
ood = dict(frozen=dict(cache='work_dirs/cache'))

from mmood.recipe import bake

bake(globals())
