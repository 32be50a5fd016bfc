# BDD100k as ID, COCO and OpenImages as OOD: the sets of VOS and DFDD.
# docs/en/dataset_prepare.md says how to make the files.
bdd_root = 'data/bdd100k/'
metainfo = dict(
    classes=('pedestrian', 'rider', 'car', 'truck', 'bus', 'train',
             'motorcycle', 'bicycle', 'traffic light', 'traffic sign')
)  # fmt: skip

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        resize_type='mmdet.Resize',
        scales=[(1333, s) for s in range(480, 801, 32)],
        keep_ratio=True,
    ),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs'),
]
id_train_set = dict(
    type='mmood.IDCocoDataset',
    data_root=bdd_root,
    ann_file='annotations/train.json',
    data_prefix=dict(img='images/100k/train/'),
    metainfo=metainfo,
)
id_test_set = dict(
    type='mmood.IDCocoDataset',
    data_root=bdd_root,
    ann_file='annotations/val.json',
    data_prefix=dict(img='images/100k/val/'),
    metainfo=metainfo,
    pipeline=test_pipeline,
    test_mode=True,
)

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        **id_train_set,
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
        **id_train_set,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=id_test_set,
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdet.ConcatDataset',
        ignore_keys=['classes', 'palette'],
        datasets=[
            id_test_set,
            dict(
                type='mmood.OODCocoDataset',
                name='coco',
                data_root='data/coco/',
                ann_file='annotations/ood_wrt_bdd.json',
                data_prefix=dict(img='val2017/'),
                pipeline=test_pipeline,
                test_mode=True,
            ),
            dict(
                type='mmood.OODCocoDataset',
                name='openimages',
                data_root='data/openimages/',
                ann_file='annotations/ood_wrt_bdd.json',
                data_prefix=dict(img='images/'),
                pipeline=test_pipeline,
                test_mode=True,
            ),
        ],
    ),
)
val_evaluator = dict(type='mmood.OODDetMetric')
test_evaluator = val_evaluator
