_base_ = [
    '../_base_/segformer_mit_camvid.py',
    '../_base_/methods/posthoc_seg.py',
]
max_iters = 1800
warmup = '1/18'
optim_wrapper = dict(optimizer=dict(weight_decay=0.01))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=1e-6,
        begin='$warmup',
        by_epoch=False,
    ),
]

from mmood.recipe import bake

bake(globals())
