# The schedule of VOS and DFDD: 18 000 iterations of 16 images, lr 0.02.
max_iters = 18000
# No validation but that of CalibrateOODHook, at the end.
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_begin=10**9
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, end=100),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        milestones=[12000, 16000],
        gamma=0.1,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
