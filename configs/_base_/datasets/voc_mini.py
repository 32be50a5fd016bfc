# A small VOC 2012 part (500 + 200 images) as ID, small parts of COCO and of
# a raccoon set as OOD. MMOOD_DATA names the folder that holds them.
data_root = '{{$MMOOD_DATA:data/mini}}/'
metainfo = dict(
    classes=('person', 'cat', 'dog', 'horse', 'cow', 'sheep', 'chair', 'sofa')
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        resize_type='mmdet.Resize',
        scales=[(272, s) for s in (144, 160, 176)],
        keep_ratio=True,
    ),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(272, 160), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs'),
]
id_set = dict(
    type='mmood.IDCocoDataset',
    data_root=data_root + 'voc/',
    data_prefix=dict(img='images/'),
    metainfo=metainfo,
    ignore_other_classes=True,
)
id_test_set = dict(
    **id_set,
    ann_file='annotations/test.json',
    pipeline=test_pipeline,
    test_mode=True,
)

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
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
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **id_set,
        ann_file='annotations/train.json',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=id_test_set,
)
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdet.ConcatDataset',
        ignore_keys=['classes', 'palette'],
        datasets=[
            id_test_set,
            *[
                dict(
                    type='mmood.OODCocoDataset',
                    name=name,
                    data_root=f'{data_root}{folder}/',
                    ann_file='annotations/test.json',
                    data_prefix=dict(img='images/'),
                    pipeline=test_pipeline,
                    test_mode=True,
                )
                for name, folder in (
                    ('coco', 'coco_ood'),
                    ('raccoon', 'raccoon'),
                )
            ],
        ],
    ),
)
val_evaluator = dict(type='mmood.OODDetMetric')
test_evaluator = val_evaluator
