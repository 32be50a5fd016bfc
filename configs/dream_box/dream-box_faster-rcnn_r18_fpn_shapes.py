_base_ = [
    '../posthoc/faster-rcnn_r18_fpn_shapes.py',
    '../_base_/methods/dream_box.py',
]
painted_root = 'data/shapes_dream/'
painted_share = 0.25
model = dict(rpn_head=_base_.dream_box_rpn, roi_head=_base_.dream_box)
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
