# MMSegmentation's schedules: the learning rate falls as a power of what is
# left of the training.
max_iters = 80000
power, least_lr = 0.9, 1e-4
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters='$max_iters', val_interval=8000
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [
    dict(type='PolyLR', eta_min='$least_lr', power='$power', by_epoch=False)
]
