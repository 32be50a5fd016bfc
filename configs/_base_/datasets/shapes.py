# Shapes: tools/dataset_converters/shapes.py makes it in data/shapes.
data_root = 'data/shapes/'
metainfo = dict(
    classes=('circle', 'bar', 'triangle', 'star',
             'cross', 'ring', 'crescent', 'arrow')
)  # fmt: skip

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='mmdet.RandomFlip',
        prob=0.75,
        direction=['horizontal', 'vertical'],
    ),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(96, 96), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs'),
]
id_set = dict(
    type='mmood.IDCocoDataset',
    data_root=data_root,
    metainfo=metainfo,
    data_prefix=dict(img=''),
)
ood_set = dict(
    type='mmood.OODCocoDataset',
    data_root=data_root,
    data_prefix=dict(img=''),
    pipeline=test_pipeline,
    test_mode=True,
)

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        **id_set,
        ann_file='annotations/train.json',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
# ID training images as at test: scores are fitted on them.
fit_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **id_set,
        ann_file='annotations/train.json',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **id_set,
        ann_file='annotations/val.json',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdet.ConcatDataset',
        ignore_keys=['classes', 'palette'],
        datasets=[
            dict(
                **id_set,
                ann_file='annotations/test.json',
                pipeline=test_pipeline,
                test_mode=True,
            ),
            dict(**ood_set, name='near', ann_file='annotations/near.json'),
            dict(**ood_set, name='far', ann_file='annotations/far.json'),
        ],
    ),
)
val_evaluator = dict(type='mmood.OODDetMetric')
test_evaluator = dict(type='mmood.OODDetMetric')
