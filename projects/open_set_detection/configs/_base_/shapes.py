# Shapes with its 8 ID shapes known; near and far ones are unknown objects.
_base_ = '../../../../configs/_base_/faster-rcnn_r18_fpn_shapes.py'
open_set = dict(
    type='mmood.OpenSetCocoDataset',
    data_root='$data_root',
    metainfo=dict(classes='$classes'),
    data_prefix=dict(img='$val_images'),
    pipeline='$test_pipeline',
    test_mode=True,
)
test_sets = [
    dict(**open_set, name='id', ann_file='$test_ann'),
    *[
        # Without any object of a known class.
        dict(
            **open_set,
            name=name,
            ann_file=f'annotations/{name}.json',
            missing_ok=True,
        )
        for name in ('near', 'far')
    ],
]
val_evaluator = dict(
    _delete_=True,
    type='mmood.OpenSetDetMetric',
    closed_style='area',
    open_style='area',
)
test_evaluator = val_evaluator
