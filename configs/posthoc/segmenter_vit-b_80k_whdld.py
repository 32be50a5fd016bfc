_base_ = [
    'mmseg::_base_/models/segmenter_vit-b16_mask.py',
    '../_base_/datasets/whdld_ood.py',
    'mmseg::_base_/schedules/schedule_80k.py',
    'mmseg::_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=(256, 256)),
    backbone=dict(img_size=(256, 256)),
    decode_head=dict(num_classes=6),
    test_cfg=dict(mode='whole'),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations', reduce_zero_label=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='mmood.WHDLDDataset',
        data_root={{_base_.data_root}},
        data_prefix={{_base_.train_prefix}},
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(_base_.fit_set, _delete_=True, data_prefix=_base_.val_prefix)
)
val_evaluator = dict(_delete_=True, type='mmseg.IoUMetric')
optim_wrapper = dict(optimizer=dict(lr=0.001, weight_decay=0.0))
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, by_epoch=False)
]
custom_hooks = [dict(type='mmood.FiniteLossHook')]
default_hooks = dict(check_data=dict(type='mmood.CheckDataHook'))
