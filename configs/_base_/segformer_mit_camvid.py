# A small MiT for 480 x 360 road scenes, from scratch on a CPU in an hour.
_base_ = [
    'datasets/segmentation.py',
    'datasets/camvid.py',
    'schedules/adamw_iters.py',
    'seg_runtime.py',
]
crop_size = (240, 240)
max_fit_images = 160
train_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    dict(
        type='RandomResize',
        scale=(480, 360),
        ratio_range=(0.55, 1.3),
        keep_ratio=True,
    ),
    dict(type='mmseg.RandomCrop', crop_size='$crop_size', cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = '$resized_test_pipeline'
num_workers = 1
train_dataloader = dict(batch_size=5)
val_evaluator = [dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])]
model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size='$crop_size',
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmseg.MixVisionTransformer',
        embed_dims=32,
        num_stages=3,
        num_layers=[2, 2, 4],
        num_heads=[1, 2, 5],
        patch_sizes=[7, 3, 3],
        strides=[4, 2, 2],
        sr_ratios=[4, 2, 1],
        out_indices=(0, 1, 2),
        qkv_bias=True,
        drop_path_rate=0.0,
    ),
    decode_head=dict(
        type='mmseg.SegformerHead',
        in_channels=[32, 64, 160],
        in_index=[0, 1, 2],
        channels=128,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='whole'),
)
