# ID: ADE20K. OOD: ADE-OoD.
dataset_type = 'mmseg.ADE20KDataset'
data_root = 'data/ade/ADEChallengeData2016/'
train_prefix = dict(
    img_path='images/training', seg_map_path='annotations/training'
)
val_prefix = dict(
    img_path='images/validation', seg_map_path='annotations/validation'
)
crop_size = (512, 512)
max_fit_images = 500
val_set = dict(
    type='mmood.OODSegDataset',
    name='id',
    ood_ids=(),
    ignore_ids=(0, 255),
    data_root='$data_root',
    data_prefix='$val_prefix',
    img_suffix='.jpg',
    pipeline='$test_pipeline',
)
test_sets = [
    dict(
        type='mmood.ADEOoDDataset',
        data_root='data/ADE-OoD',
        pipeline='$test_pipeline',
        test_mode=True,
    )
]
