# A small MiT for 480 x 360 road scenes, from scratch on a CPU in an hour.
norm_cfg = dict(type='BN')
model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(240, 240),
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
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='whole'),
)
