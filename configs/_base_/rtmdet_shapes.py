# RTMDet, small and from random weights, for 96 px scenes.
_base_ = [
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
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05)
)
norm = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='SiLU'))
width = 64
model = dict(
    type='RTMDet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='CSPNeXt',
        arch='P5',
        deepen_factor=0.167,
        widen_factor=0.25,
        channel_attention=True,
        **norm,
    ),
    neck=dict(
        type='CSPNeXtPAFPN',
        in_channels=[64, 128, 256],
        out_channels=width,
        num_csp_blocks=1,
        **norm,
    ),
    bbox_head=dict(
        type='RTMDetSepBNHead',
        num_classes=80,
        in_channels=width,
        feat_channels=width,
        stacked_convs=2,
        share_conv=True,
        pred_kernel_size=1,
        exp_on_reg=False,
        with_objectness=False,
        anchor_generator=dict(
            type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]
        ),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        **norm,
    ),
    train_cfg=dict(
        assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.65),
        max_per_img=100,
    ),
)
