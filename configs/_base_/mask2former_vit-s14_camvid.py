# Mask2Former on four layers of a pretrained ViT-S/14, whose weights lie in
# MMOOD_WEIGHTS, as ViTDet makes a pyramid of them. Its head has a third of the
# published layers, half of the width and 40 queries.
_base_ = [
    'models/mask2former_r50.py',
    'datasets/segmentation.py',
    'datasets/camvid.py',
    'schedules/adamw_iters.py',
    'seg_runtime.py',
]
warmup, num_workers = '1/10', 1
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
image_scale, size_divisor = (2000, 364), 28
train_pipeline = '$resized_train_pipeline'
val_pipeline = '$resized_val_pipeline'
test_pipeline = '$resized_test_pipeline'
val_evaluator = [dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])]
width = 128
attention = dict(embed_dims='$width')
ffn = dict(embed_dims='$width', feedforward_channels=512)
encoding = dict(num_feats=64)
model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type='mmood.OODSegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size_divisor='$size_divisor',
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        _delete_=True,
        type='mmseg.VisionTransformer',
        img_size=518,
        patch_size=14,
        embed_dims=384,
        num_layers=12,
        num_heads=6,
        out_indices=(2, 5, 8, 11),
        patch_bias=True,
        final_norm=True,
        norm_cfg=dict(type='LN', eps=1e-6),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$MMOOD_WEIGHTS:weights}}/vit-s14_fp16.pth',
        ),
    ),
    neck=dict(
        type='mmseg.Feature2Pyramid',
        embed_dim=384,
        rescales=[2, 1, 0.5, 0.25],
        norm_cfg=dict(type='BN'),
    ),
    decode_head=dict(
        in_channels=[384] * 4,
        strides=[8, 16, 32, 64],
        feat_channels='$width',
        out_channels='$width',
        num_classes=11,
        num_queries=40,
        pixel_decoder=dict(
            encoder=dict(
                num_layers=2,
                layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn),
            ),
            positional_encoding=encoding,
        ),
        positional_encoding=encoding,
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=ffn,
            ),
        ),
        loss_cls=dict(class_weight=[1.0] * 11 + [0.1]),
        train_cfg=dict(num_points=3136),
    ),
)
