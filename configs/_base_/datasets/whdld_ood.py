# ID: WHDLD. OOD: the classes that only DLRSD has.
data_root = 'data/whdld/'
crop_size = (256, 256)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
fit_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations', reduce_zero_label=True),
    dict(type='mmseg.PackSegInputs'),
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations', reduce_zero_label=True),
    dict(type='mmseg.RandomCrop', crop_size=crop_size),
    dict(type='mmseg.PackSegInputs'),
]
train_prefix = dict(img_path='train/images', seg_map_path='train/labels')
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmood.FeatureDataset',
        vectors=4096 // 32,
        dataset=dict(
            type='mmood.WHDLDDataset',
            data_root=data_root,
            data_prefix=train_prefix,
            pipeline=train_pipeline,
        ),
    ),
)
# To fit the statistics of the scores: ID images as they are at test time.
fit_set = dict(
    type='mmood.WHDLDDataset',
    data_root=data_root,
    data_prefix=train_prefix,
    pipeline=fit_pipeline,
)
val_prefix = dict(img_path='val/images', seg_map_path='val/labels')
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmood.OODSegDataset',
        name='id',
        ood_ids=(),
        data_root=data_root,
        data_prefix=val_prefix,
        img_suffix='.jpg',
        ignore_ids=(0, 255),
        pipeline=test_pipeline,
    ),
)
dlrsd = dict(
    type='mmood.DLRSDDataset',
    data_root='data/dlrsd',
    pipeline=test_pipeline,
    test_mode=True,
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        ignore_keys=['classes', 'palette', 'label_map', 'reduce_zero_label'],
        datasets=[dlrsd],
    ),
)
val_evaluator = dict(type='mmood.OODSegMetric')
test_evaluator = dict(type='mmood.OODSegMetric')
custom_hooks = [
    dict(
        type='mmood.FitScoresHook',
        max_images=500,
        dataloader=dict(
            batch_size=1,
            num_workers=4,
            sampler=dict(type='DefaultSampler', shuffle=True, seed=0),
            dataset=fit_set,
        ),
    ),
    dict(type='mmood.CalibrateOODHook'),
    dict(type='mmood.FiniteLossHook'),
    dict(type='mmood.CheckFeaturesHook'),
]
