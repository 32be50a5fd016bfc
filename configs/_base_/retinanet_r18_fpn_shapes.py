# A one-stage detector for 96 px scenes that a CPU trains from scratch.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'datasets/detection.py',
    'datasets/shapes_boxes.py',
    'schedules/shapes.py',
    'det_runtime.py',
]
train_pipeline = '$flip_pipeline'
train_dataloader = dict(
    batch_size=8, num_workers=1, sampler=dict(type='DefaultSampler')
)
val_dataloader = dict(batch_size=8, num_workers=1)
test_dataloader = dict(batch_size=8, num_workers=1)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.02)
)
width = 64
strides = [4, 8, 16]
model = dict(
    backbone=dict(
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        base_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(
        in_channels=[32, 64, 128],
        out_channels=width,
        start_level=0,
        add_extra_convs=False,
        num_outs=3,
    ),
    bbox_head=dict(
        in_channels=width,
        feat_channels=width,
        stacked_convs=2,
        anchor_generator=dict(scales_per_octave=1, strides=strides),
    ),
    test_cfg=dict(nms_pre=200),
)
