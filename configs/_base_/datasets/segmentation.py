# ID images with label pictures to train on; ID images to validate and OOD
# sets to test on. Variables of the config, see cityscapes.py: dataset_type,
# data_root, train_prefix, val_prefix, val_set, test_sets, crop_size.
metainfo = {}  # classes of a set that has none of its own
num_workers = 4
load_labels = dict(type='mmood.LoadIDAnnotations')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    dict(type='mmseg.RandomCrop', crop_size='$crop_size'),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
# A validation set with classes, and the pipeline of one.
val_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    dict(type='mmseg.PackSegInputs'),
]
id_val_set = dict(
    type='$dataset_type',
    data_root='$data_root',
    metainfo='$metainfo',
    data_prefix='$val_prefix',
    pipeline='$val_pipeline',
)
train_dataloader = dict(
    batch_size=8,
    num_workers='$num_workers',
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='$dataset_type',
        data_root='$data_root',
        metainfo='$metainfo',
        data_prefix='$train_prefix',
        pipeline='$train_pipeline',
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers='$num_workers',
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset='$val_set',
)
test_dataloader = dict(
    batch_size=1,
    num_workers='$num_workers',
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        ignore_keys=['classes', 'palette', 'label_map', 'reduce_zero_label'],
        datasets='$test_sets',
    ),
)
val_evaluator = dict(type='mmood.OODSegMetric')
test_evaluator = dict(type='mmood.OODSegMetric')
