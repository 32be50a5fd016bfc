# Needs load_from: a checkpoint of mask2former/mask2former_lite0_1k_shapes.py.
_base_ = [
    '../_base_/mask2former_lite0_shapes.py',
    '../_base_/methods/rba.py',
]
max_iters = 300
paste = dict(prob=0.5, area=(0.005, 0.05))
train_cfg = dict(val_begin=10**9)

from mmood.recipe import bake

bake(globals())
