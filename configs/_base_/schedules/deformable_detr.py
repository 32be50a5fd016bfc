# The schedule of Deformable DETR: 50 epochs of batches of 32, the learning
# rate falls at 4/5. No validation but that of CalibrateOODHook, at the end.
max_epochs = 50
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs='$max_epochs', val_begin=10**9
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
slow = dict(lr_mult=0.1)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        custom_keys=dict(
            backbone=slow, sampling_offsets=slow, reference_points=slow
        )
    ),
)
param_scheduler = [dict(type='MultiStepLR', milestones=['4/5'], gamma=0.1)]
auto_scale_lr = dict(enable=False, base_batch_size=32)
