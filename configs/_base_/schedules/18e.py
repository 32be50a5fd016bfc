# The schedule of Dream-Box: 18 epochs of 16 images a batch, lr 0.02, here
# with the two steps down at the ends of epochs 12 and 16.
max_epochs = 18
# No validation but that of CalibrateOODHook, at the end.
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_begin=10**9
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=500),
    dict(type='MultiStepLR', milestones=[12, 16], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
