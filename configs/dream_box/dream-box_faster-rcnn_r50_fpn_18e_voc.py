_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/datasets/voc.py',
    '../_base_/schedules/18e.py',
    '../_base_/det_runtime.py',
    '../_base_/methods/dream_box.py',
]
num_classes = 20
painted_root = 'data/voc_dream/'
painted_share = None  # all of them, once in an epoch
model = dict(
    rpn_head=_base_.dream_box_rpn,
    roi_head=dict(_base_.dream_box, bbox_head=dict(num_classes=num_classes)),
)
train_pipeline = [*_base_.train_pipeline[:-1], _base_.packer]
sets = [
    dict(_base_.train_dataloader.dataset, pipeline=train_pipeline),
    dict(
        _base_.painted_set,
        data_root=painted_root,
        metainfo=_base_.metainfo,
        pipeline=train_pipeline,
    ),
]
train_dataloader = dict(
    sampler=dict(_base_.mixed_sampler, painted_share=painted_share),
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=sets),
)
