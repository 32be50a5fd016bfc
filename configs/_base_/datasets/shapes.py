# Shapes with its semantic masks: tools/dataset_converters/shapes.py makes
# them in data/shapes.
dataset_type = 'mmood.ShapesSegDataset'
data_root = 'data/shapes/'
train_prefix = dict(img_path='train/images', seg_map_path='train/semantic')
val_prefix = dict(img_path='val/images', seg_map_path='val/semantic')
crop_size = (96, 96)  # of the scenes
max_fit_images = 160
flip_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical']),
    dict(type='mmseg.PackSegInputs'),
]
val_set = '$id_val_set'
test_sets = [
    dict(
        type='mmood.OODSegDataset',
        name=name,
        data_root='$data_root',
        data_prefix=dict(
            img_path=f'{name}/images', seg_map_path=f'{name}/semantic'
        ),
        img_suffix='.png',
        ood_ids=tuple(range(9, 21)),
        pipeline='$test_pipeline',
    )
    for name in ('near', 'far')
]
