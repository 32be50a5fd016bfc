# ID: Cityscapes. OOD: the road scenes of docs/en/dataset_prepare.md; take
# out of test_sets what you do not have.
dataset_type = 'mmseg.CityscapesDataset'
data_root = 'data/cityscapes/'
train_prefix = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
val_prefix = dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val')
crop_size = (768, 768)
max_fit_images = 250
val_set = dict(
    type='mmood.OODSegDataset',
    name='id',
    ood_ids=(),
    data_root='$data_root',
    data_prefix='$val_prefix',
    img_suffix='_leftImg8bit.png',
    seg_map_suffix='_gtFine_labelTrainIds.png',
    pipeline='$test_pipeline',
)
# The crops that MMSegmentation trains on.
augmented_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    dict(
        type='RandomResize',
        scale=(2048, 1024),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
    ),
    dict(type='mmseg.RandomCrop', crop_size='$crop_size', cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs'),
]
test_sets = [
    dict(type=f'mmood.{kind}', data_root=f'data/{folder}', **more,
         pipeline='$test_pipeline', test_mode=True)
    for kind, folder, more in (
        ('RoadAnomalyDataset', 'RoadAnomaly_jpg', {}),
        ('FishyscapesLostAndFoundDataset', 'fs_lost_and_found', {}),
        ('FishyscapesDataset', 'fs_static', dict(name='fs_static')),
        ('AnomalyTrackDataset', 'dataset_AnomalyTrack', {}),
        ('ObstacleTrackDataset', 'dataset_ObstacleTrack', {}),
        ('LostAndFoundNoKnownDataset', 'dataset_LostAndFound', {}),
        ('WDPascalDataset', 'wd_pascal', {}),
    )
]  # fmt: skip
