# A Segmenter for 96 px scenes that a CPU trains from scratch in minutes.
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
width = 128
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
        type='mmseg.VisionTransformer',
        img_size='$crop_size',
        patch_size=8,
        embed_dims='$width',
        num_layers=4,
        num_heads=4,
        patch_bias=True,
        final_norm=True,
        norm_cfg=dict(type='LN', eps=1e-6),
    ),
    # Segmenter's linear decoder. The other one normalizes the logits of each
    # pixel, which leaves little to their energy.
    decode_head=dict(
        type='mmseg.FCNHead',
        in_channels='$width',
        channels='$width',
        num_convs=0,
        concat_input=False,
        num_classes=9,
        dropout_ratio=0.0,
        norm_cfg=None,
        # Nine of ten pixels are background.
        loss_decode=dict(
            type='mmseg.CrossEntropyLoss', class_weight=[0.2] + [1.0] * 8
        ),
    ),
    test_cfg=dict(mode='whole'),
)
