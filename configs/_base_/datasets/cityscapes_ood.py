# ID: Cityscapes. OOD: the road scenes of docs/en/dataset_prepare.md; take
# out of test_dataloader what you do not have.
data_root = 'data/cityscapes/'
crop_size = (768, 768)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
fit_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadIDAnnotations'),
    dict(type='mmseg.RandomCrop', crop_size=crop_size),
    dict(type='mmseg.PackSegInputs'),
]
train_prefix = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmood.FeatureDataset',
        vectors=4096 // 8,
        dataset=dict(
            type='mmseg.CityscapesDataset',
            data_root=data_root,
            data_prefix=train_prefix,
            pipeline=train_pipeline,
        ),
    ),
)
# To fit the statistics of the scores: ID images as they are at test time.
fit_set = dict(
    type='mmseg.CityscapesDataset',
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
        data_root=data_root,
        data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val'
        ),
        img_suffix='_leftImg8bit.png',
        seg_map_suffix='_gtFine_labelTrainIds.png',
        pipeline=test_pipeline,
    ),
)
road_anomaly = dict(
    type='mmood.RoadAnomalyDataset',
    data_root='data/RoadAnomaly_jpg',
    pipeline=test_pipeline,
    test_mode=True,
)
fs_lost_and_found = dict(
    type='mmood.FishyscapesLostAndFoundDataset',
    data_root='data/fs_lost_and_found',
    pipeline=test_pipeline,
    test_mode=True,
)
fs_static = dict(
    type='mmood.FishyscapesDataset',
    data_root='data/fs_static',
    name='fs_static',
    pipeline=test_pipeline,
    test_mode=True,
)
anomaly_track = dict(
    type='mmood.AnomalyTrackDataset',
    data_root='data/dataset_AnomalyTrack',
    pipeline=test_pipeline,
    test_mode=True,
)
obstacle_track = dict(
    type='mmood.ObstacleTrackDataset',
    data_root='data/dataset_ObstacleTrack',
    pipeline=test_pipeline,
    test_mode=True,
)
lost_and_found = dict(
    type='mmood.LostAndFoundNoKnownDataset',
    data_root='data/dataset_LostAndFound',
    pipeline=test_pipeline,
    test_mode=True,
)
wd_pascal = dict(
    type='mmood.WDPascalDataset',
    data_root='data/wd_pascal',
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
        datasets=[
            road_anomaly,
            fs_lost_and_found,
            fs_static,
            anomaly_track,
            obstacle_track,
            lost_and_found,
            wd_pascal,
        ],
    ),
)
val_evaluator = dict(type='mmood.OODSegMetric')
test_evaluator = dict(type='mmood.OODSegMetric')
custom_hooks = [
    dict(
        type='mmood.FitScoresHook',
        max_images=250,
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
