# Means that follow faster: a thousand steps fill no queue of 32,000.
_base_ = ['../_base_/fcn_lite0_shapes.py', '../_base_/methods/gmmseg.py']
mixtures = dict(queue_size=1000, momentum=(0.9, 0.0))

from mmood.recipe import bake

bake(globals())
