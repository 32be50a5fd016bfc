# Shapes with its boxes: tools/dataset_converters/shapes.py makes them in
# data/shapes.
data_root = 'data/shapes/'
classes = ('circle', 'bar', 'triangle', 'star',
           'cross', 'ring', 'crescent', 'arrow')  # fmt: skip
train_ann, val_ann = 'annotations/train.json', 'annotations/val.json'
test_ann = 'annotations/test.json'
train_images = val_images = ''
image_scale = (96, 96)
flip_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='mmdet.RandomFlip',
        prob=0.75,
        direction=['horizontal', 'vertical'],
    ),
    dict(type='mmdet.PackDetInputs'),
]
test_sets = [
    '$id_test_set',
    *[
        dict(
            type='mmood.OODCocoDataset',
            name=name,
            data_root='$data_root',
            ann_file=f'annotations/{name}.json',
            data_prefix=dict(img=''),
            pipeline='$test_pipeline',
            test_mode=True,
        )
        for name in ('near', 'far')
    ],
]
