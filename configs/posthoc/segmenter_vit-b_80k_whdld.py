_base_ = [
    '../_base_/segmenter_vit-b_whdld.py',
    '../_base_/methods/posthoc_seg.py',
]
max_iters = 80000
train_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
train_cfg = dict(val_begin=1, val_interval=8000)
optim_wrapper = dict(
    clip_grad=None,
    optimizer=dict(
        _delete_=True, type='SGD', lr=0.001, momentum=0.9, weight_decay=0.0
    ),
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, by_epoch=False)
]
default_hooks = dict(checkpoint=dict(interval=8000, max_keep_ckpts=-1))

from mmood.recipe import bake

bake(globals())
