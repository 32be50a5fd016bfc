# Needs load_from: a checkpoint of posthoc/linear_vit-s14_1k_camvid.py.
_base_ = [
    '../_base_/linear_vit-s14_camvid.py',
    '../_base_/methods/energy_hinge.py',
]
max_iters, objects = 300, '$coco_objects'
paste = dict(prob=0.5, area=(0.002, 0.05))
train_dataloader = dict(batch_size=4)
train_cfg = dict(val_begin=10**9)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
ood = dict(trains=['decode_head'])

from mmood.recipe import bake

bake(globals())
