# A short schedule of a segmentor from random weights.
max_iters = 1500
warmup = '1/15'  # of the training
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters='$max_iters', val_interval=500
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end='$warmup'),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min_ratio=0.01),
]
