# CamVid as ID set, AnomalyTrack and Fishyscapes Static as OOD sets, in the
# folders camvid, road_anomaly21 and fs_static of MMOOD_DATA.
data_root = '{{$MMOOD_DATA:data}}/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations'),
    dict(
        type='RandomResize',
        scale=(480, 360),
        ratio_range=(0.55, 1.3),
        keep_ratio=True,
    ),
    dict(type='mmseg.RandomCrop', crop_size=(240, 240), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs'),
]
plain_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
# Pictures of other cameras in the height that the segmentor knows.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.Resize', scale=(2000, 360), keep_ratio=True),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
camvid_root = data_root + 'camvid'
train_prefix = dict(img_path='images/train', seg_map_path='labels/train')
val_prefix = dict(img_path='images/val', seg_map_path='labels/val')
plain_set = dict(
    type='mmood.CamVidDataset',
    data_root=camvid_root,
    data_prefix=train_prefix,
    pipeline=plain_pipeline,
)
id_set = dict(
    type='mmood.OODSegDataset',
    name='id',
    ood_ids=(),
    ignore_ids=(11, 255),
    data_root=camvid_root,
    data_prefix=val_prefix,
    pipeline=test_pipeline,
)
anomaly_track = dict(
    type='mmood.OODSegDataset',
    name='anomaly_track',
    data_root=data_root + 'road_anomaly21',
    data_prefix=dict(img_path='images', seg_map_path='labels_masks'),
    pipeline=test_pipeline,
)
fs_static = dict(
    type='mmood.OODSegDataset',
    name='fs_static',
    data_root=data_root + 'fs_static',
    data_prefix=dict(img_path='images', seg_map_path='labels_masks'),
    pipeline=test_pipeline,
)
train_dataloader = dict(
    batch_size=5,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmood.CamVidDataset',
        data_root=camvid_root,
        data_prefix=train_prefix,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmood.CamVidDataset',
        data_root=camvid_root,
        data_prefix=val_prefix,
        pipeline=plain_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        ignore_keys=['classes', 'palette', 'label_map', 'reduce_zero_label'],
        datasets=[anomaly_track, fs_static],
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
            batch_size=1,
            num_workers=1,
            sampler=dict(type='DefaultSampler', shuffle=True, seed=0),
            dataset=plain_set,
        ),
    ),
    dict(type='mmood.CalibrateOODHook'),
    dict(type='mmood.FiniteLossHook'),
    dict(type='mmood.CheckFeaturesHook'),
]
