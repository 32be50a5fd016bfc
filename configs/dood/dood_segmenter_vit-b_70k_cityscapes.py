# Needs load_from: a Segmenter ViT-B of Cityscapes with DeiT's second token,
# such as the authors' (tools/model_converters/dood.py).
_base_ = [
    'mmseg::_base_/models/segmenter_vit-b16_mask.py',
    '../_base_/datasets/cityscapes_ood.py',
    '../_base_/schedules/dood_70k.py',
    '../_base_/seg_runtime.py',
]
size = (768, 768)
model = dict(
    type='mmood.OODEncoderDecoder',
    pretrained=None,
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        size=size,
    ),
    backbone=dict(type='mmood.DistilledVisionTransformer', img_size=size),
    decode_head=dict(num_classes=19, num_layers=1, num_heads=6),
    test_cfg=dict(mode='whole'),
    probe=dict(keys=-1),
    ood_head=dict(
        type='mmood.DOoDHead',
        channels=768,
        denoiser=dict(type='mmood.DenoisingMLP', time_embedding='periodic'),
    ),
)
