# The schedule of VOS and DFDD: iterations of 16 images, lr 0.02.
max_iters = 18000
warmup = '1/180'  # of the training
# No validation but that of CalibrateOODHook, at the end.
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters='$max_iters', val_begin=10**9
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, end='$warmup'),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        milestones=['2/3', '8/9'],
        gamma=0.1,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
