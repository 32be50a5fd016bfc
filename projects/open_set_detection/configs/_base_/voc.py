# VOC-COCO: the 20 classes of VOC known, 20, 40 or 60 more of COCO unknown.
# The project's README says how to make the files.
_base_ = '../../../../configs/_base_/faster-rcnn_r50_fpn_18k_voc.py'
# VOC 2007 train and 2012 trainval; 2007 val is left to calibrate on.
# Difficult objects are ignored.
train_ann = 'annotations/voc07train_12trainval.json'
val_ann = 'annotations/voc2007_val_ignore.json'
test_ann = 'annotations/voc2007_test_ignore.json'
open_set = dict(
    type='mmood.OpenSetCocoDataset',
    metainfo=dict(classes='$classes'),
    pipeline='$test_pipeline',
    test_mode=True,
)
test_sets = [
    dict(
        **open_set,
        name='id',
        data_root='$data_root',
        ann_file='$test_ann',
        data_prefix=dict(img='$val_images'),
    ),
    *[
        dict(
            **open_set,
            name=f'voc_coco_{n}',
            data_root='data/coco/',
            ann_file=f'annotations/voc_coco_{n}.json',
            data_prefix=dict(img='train2017/'),
        )
        for n in (20, 40, 60)
    ],
]
val_evaluator = dict(
    _delete_=True,
    type='mmood.OpenSetDetMetric',
    closed_style='11points',
    open_style='area',
)
test_evaluator = val_evaluator
# The schedule of OpenDet: 32 000 iterations of 16 images, lr 0.02.
max_iters = 32000
warmup = 100
param_scheduler = _base_.param_scheduler
param_scheduler[1]['milestones'] = ['21/32', '29/32']
default_hooks = dict(checkpoint=dict(interval=4000))
