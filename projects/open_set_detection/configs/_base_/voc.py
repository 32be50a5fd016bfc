# VOC-COCO: the 20 classes of VOC known, 20, 40 or 60 more of COCO unknown.
# The project's README says how to make the files.
_base_ = [
    '../../../../configs/_base_/models/faster-rcnn_r50_fpn.py',
    '../../../../configs/_base_/datasets/voc.py',
    '../../../../configs/_base_/det_runtime.py',
]
custom_imports = dict(
    imports=['projects.open_set_detection.open_set_detection']
)
num_classes = 20
model = dict(
    roi_head=dict(
        type='mmood.OpenSetRoIHead',
        bbox_head=dict(num_classes=num_classes),
    )
)
# VOC 2007 train and 2012 trainval; 2007 val is left to calibrate on.
train_ann = 'annotations/voc07train_12trainval.json'
train_dataloader = dict(dataset=dict(ann_file=train_ann))
fit_dataloader = dict(dataset=dict(ann_file=train_ann))
open_set = dict(
    type='mmood.OpenSetCocoDataset',
    metainfo=_base_.metainfo,
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
coco_set = dict(
    **open_set,
    data_root='data/coco/',
    data_prefix=dict(img='train2017/'),
)
val_dataloader = dict(
    dataset=dict(ann_file='annotations/voc2007_val_ignore.json')
)
test_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                **open_set,
                name='id',
                data_root=_base_.voc_root,
                # Difficult objects are ignored.
                ann_file='annotations/voc2007_test_ignore.json',
                data_prefix=dict(img=''),
            ),
            *(
                dict(
                    **coco_set,
                    name=f'voc_coco_{n}',
                    ann_file=f'annotations/voc_coco_{n}.json',
                )
                for n in (20, 40, 60)
            ),
        ]
    )
)
val_evaluator = dict(
    _delete_=True,
    type='mmood.OpenSetDetMetric',
    closed_style='11points',
    open_style='area',
)
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4000))
log_processor = dict(by_epoch=False)
