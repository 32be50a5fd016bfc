# A short schedule from random weights. Validation runs once, at the end,
# where the thresholds are fitted.
max_epochs = 10
warmup = '1/15'  # of the training
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs='$max_epochs', val_begin=10**9
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.04, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.02,
        end='$warmup',
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        convert_to_iter_based=True,
    ),
]
