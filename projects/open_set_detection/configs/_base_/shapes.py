# Shapes with its 8 ID shapes known; near and far ones are unknown objects.
_base_ = [
    '../../../../configs/_base_/models/shapes_detector.py',
    '../../../../configs/_base_/datasets/shapes.py',
    '../../../../configs/_base_/schedules/shapes.py',
    '../../../../configs/_base_/det_runtime.py',
]
custom_imports = dict(
    imports=['projects.open_set_detection.open_set_detection']
)
model = dict(roi_head=dict(type='mmood.OpenSetRoIHead'))
open_set = dict(
    type='mmood.OpenSetCocoDataset',
    data_root='data/shapes/',
    metainfo=dict(
        classes=('circle', 'bar', 'triangle', 'star',
                 'cross', 'ring', 'crescent', 'arrow')
    ),
    data_prefix=dict(img=''),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(96, 96), keep_ratio=True),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.PackDetInputs'),
    ],
    test_mode=True,
)  # fmt: skip
# Without any object of a known class.
unknown_set = dict(**open_set, missing_ok=True)
test_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(**open_set, name='id', ann_file='annotations/test.json'),
            dict(**unknown_set, name='near', ann_file='annotations/near.json'),
            dict(**unknown_set, name='far', ann_file='annotations/far.json'),
        ]
    )
)
val_evaluator = dict(
    _delete_=True,
    type='mmood.OpenSetDetMetric',
    closed_style='area',
    open_style='area',
)
test_evaluator = val_evaluator
