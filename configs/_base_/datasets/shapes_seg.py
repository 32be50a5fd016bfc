# Shapes: tools/dataset_converters/shapes.py makes it in data/shapes.
data_root = 'data/shapes/'
plain_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations'),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical']),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
train_prefix = dict(img_path='train/images', seg_map_path='train/semantic')
val_prefix = dict(img_path='val/images', seg_map_path='val/semantic')
# ID images without augmentation: to extract features, to fit statistics.
plain_set = dict(
    type='mmood.ShapesSegDataset',
    data_root=data_root,
    data_prefix=train_prefix,
    pipeline=plain_pipeline,
)
id_set = dict(
    type='mmood.OODSegDataset',
    name='id',
    data_root=data_root,
    data_prefix=val_prefix,
    img_suffix='.png',
    ood_ids=(),
    pipeline=test_pipeline,
)
ood_ids = tuple(range(9, 21))
near_set = dict(
    type='mmood.OODSegDataset',
    name='near',
    data_root=data_root,
    data_prefix=dict(img_path='near/images', seg_map_path='near/semantic'),
    img_suffix='.png',
    ood_ids=ood_ids,
    pipeline=test_pipeline,
)
far_set = dict(
    type='mmood.OODSegDataset',
    name='far',
    data_root=data_root,
    data_prefix=dict(img_path='far/images', seg_map_path='far/semantic'),
    img_suffix='.png',
    ood_ids=ood_ids,
    pipeline=test_pipeline,
)

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmood.ShapesSegDataset',
        data_root=data_root,
        data_prefix=train_prefix,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmood.ShapesSegDataset',
        data_root=data_root,
        data_prefix=val_prefix,
        pipeline=plain_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        ignore_keys=['classes', 'palette', 'label_map', 'reduce_zero_label'],
        datasets=[near_set, far_set],
    ),
)
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = dict(type='mmood.OODSegMetric')
# For DOoD: statistics of the scores on ID images, then the threshold.
dood_hooks = [
    dict(
        type='mmood.FitScoresHook',
        max_images=160,
        dataloader=dict(
            batch_size=16,
            num_workers=1,
            sampler=dict(type='DefaultSampler', shuffle=True, seed=0),
            dataset=plain_set,
        ),
    ),
    dict(type='mmood.CalibrateOODHook'),
    dict(type='mmood.FiniteLossHook'),
    dict(type='mmood.CheckFeaturesHook'),
]
