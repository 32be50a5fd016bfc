# ID images in COCO's format to train and validate on; ID and OOD sets to test
# on. Variables of the config, see voc.py: data_root, classes, annotations
# (train_ann, val_ann, test_ann), image folders (train_images, val_images),
# image_scale, train_scales, test_sets.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        resize_type='mmdet.Resize',
        scales='$train_scales',
        keep_ratio=True,
    ),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale='$image_scale', keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs'),
]
id_set = dict(
    type='mmood.IDCocoDataset',
    data_root='$data_root',
    metainfo=dict(classes='$classes'),
)
id_test_set = dict(
    **id_set,
    ann_file='$test_ann',
    data_prefix=dict(img='$val_images'),
    pipeline='$test_pipeline',
    test_mode=True,
)
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        **id_set,
        ann_file='$train_ann',
        data_prefix=dict(img='$train_images'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline='$train_pipeline',
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(id_test_set, ann_file='$val_ann'),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdet.ConcatDataset',
        ignore_keys=['classes', 'palette'],
        datasets='$test_sets',
    ),
)
val_evaluator = dict(type='mmood.OODDetMetric')
test_evaluator = dict(type='mmood.OODDetMetric')
