# CGNet as published for CamVid; the weights lie in MMOOD_WEIGHTS.
model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor',
        mean=[105.02, 102.72, 98.97],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=True,
        size_divisor=8,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmseg.CGNet',
        norm_cfg=dict(type='BN', eps=1e-3),
        num_channels=(32, 64, 128),
        num_blocks=(3, 21),
        dilations=(2, 4),
        reductions=(8, 16),
    ),
    decode_head=dict(
        type='mmseg.FCNHead',
        in_channels=256,
        in_index=2,
        channels=256,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=11,
        norm_cfg=None,
        loss_decode=dict(type='mmseg.CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='whole'),
)
