# RTMDet for 96 px scenes, smaller than its smallest and from random weights.
_base_ = [
    'models/rtmdet_tiny.py',
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
width = 64
norm_cfg = dict(type='BN')
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(widen_factor=0.25, norm_cfg=norm_cfg, init_cfg=None),
    neck=dict(
        in_channels=[64, 128, 256], out_channels=width, norm_cfg=norm_cfg
    ),
    bbox_head=dict(in_channels=width, feat_channels=width, norm_cfg=norm_cfg),
    test_cfg=dict(nms_pre=1000, score_thr=0.05, max_per_img=100),
)
