# Needs load_from: mask2former/mask2former_vit-s14_1500_camvid.py, trained.
_base_ = [
    '../_base_/mask2former_vit-s14_camvid.py',
    '../_base_/methods/mask2anomaly.py',
]
max_iters, objects = 300, '$coco_objects'
paste = dict(prob=0.5, area=(0.002, 0.05))
train_cfg = dict(val_begin=10**9)
optim_wrapper = dict(optimizer=dict(lr=1e-4))

from mmood.recipe import bake

bake(globals())
