_base_ = [
    '../_base_/models/segformer_camvid.py',
    '../_base_/datasets/camvid.py',
    '../_base_/seg_runtime.py',
]
max_iters = 1800
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=500
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=1e-6,
        begin=100,
        by_epoch=False,
    ),
]
custom_hooks = [dict(type='mmood.FiniteLossHook')]
