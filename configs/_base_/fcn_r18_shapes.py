# A small convolutional segmentor for 96 px scenes, from random weights. It
# learns the shapes in the minutes in which a Segmenter finds where they are.
_base_ = [
    'datasets/segmentation.py',
    'datasets/shapes.py',
    'schedules/adamw_iters.py',
    'seg_runtime.py',
]
train_pipeline = '$flip_pipeline'
train_dataloader = dict(num_workers=1)
val_dataloader = dict(batch_size=16, num_workers=1)
test_dataloader = dict(batch_size=16, num_workers=1)
val_evaluator = [dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])]
width = 96
norm_cfg = dict(type='BN')
model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        size='$crop_size',
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmseg.ResNet',
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        base_channels=32,
        norm_cfg='$norm_cfg',
    ),
    decode_head=dict(
        type='mmseg.FCNHead',
        in_channels=[32, 64, 128],
        in_index=[0, 1, 2],
        input_transform='resize_concat',
        channels='$width',
        num_convs=2,
        concat_input=False,
        num_classes=9,
        dropout_ratio=0.0,
        norm_cfg='$norm_cfg',
        # Nine of ten pixels are background.
        loss_decode=dict(
            type='mmseg.CrossEntropyLoss', class_weight=[0.2] + [1.0] * 8
        ),
    ),
    test_cfg=dict(mode='whole'),
)
