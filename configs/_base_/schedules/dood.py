# DOoD (ECCV 2024), Sec. 6: lr 5e-5, 70k steps. The ID set is validated once,
# at the end, where the threshold is fitted.
max_iters = 70000
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters='$max_iters', val_begin=10**9
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-5)
)
param_scheduler = [dict(type='ConstantLR', factor=1.0, by_epoch=False)]
