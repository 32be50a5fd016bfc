# ID: ADE20K. OOD: ADE-OoD.
data_root = 'data/ade/ADEChallengeData2016/'
crop_size = (512, 512)
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
train_prefix = dict(
    img_path='images/training', seg_map_path='annotations/training'
)
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmood.FeatureDataset',
        vectors=4096 // 8,
        dataset=dict(
            type='mmseg.ADE20KDataset',
            data_root=data_root,
            data_prefix=train_prefix,
            pipeline=train_pipeline,
        ),
    ),
)
# To fit the statistics of the scores: ID images as they are at test time.
fit_set = dict(
    type='mmseg.ADE20KDataset',
    data_root=data_root,
    data_prefix=train_prefix,
    pipeline=fit_pipeline,
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmood.OODSegDataset',
        name='id',
        ood_ids=(),
        ignore_ids=(0, 255),
        data_root=data_root,
        data_prefix=dict(
            img_path='images/validation', seg_map_path='annotations/validation'
        ),
        img_suffix='.jpg',
        pipeline=test_pipeline,
    ),
)
ade_ood = dict(
    type='mmood.ADEOoDDataset',
    data_root='data/ADE-OoD',
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
        datasets=[ade_ood],
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
