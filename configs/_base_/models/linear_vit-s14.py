# A linear classifier on the patches of a pretrained ViT-S/14, whose weights
# lie in MMOOD_WEIGHTS. Sides of images should be multiples of 14.
model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size_divisor=14,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmseg.VisionTransformer',
        img_size=518,
        patch_size=14,
        embed_dims=384,
        num_layers=12,
        num_heads=6,
        patch_bias=True,
        final_norm=True,
        norm_cfg=dict(type='LN', eps=1e-6),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$MMOOD_WEIGHTS:weights}}/vit-s14_fp16.pth',
        ),
    ),
    decode_head=dict(
        type='mmseg.FCNHead',
        in_channels=384,
        channels=384,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=11,
        norm_cfg=None,
        loss_decode=dict(type='mmseg.CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='whole'),
)
