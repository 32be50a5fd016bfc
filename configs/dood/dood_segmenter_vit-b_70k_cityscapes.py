# Needs load_from: a Segmenter ViT-B of Cityscapes with DeiT's second token,
# such as the authors' (tools/model_converters/dood.py).
_base_ = [
    'mmseg::_base_/models/segmenter_vit-b16_mask.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/dood.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/dood.py',
]
denoiser = dict(time_embedding='periodic')
model = dict(
    pretrained=None,
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        size='$crop_size',
    ),
    backbone=dict(
        type='mmood.DistilledVisionTransformer', img_size='$crop_size'
    ),
    decode_head=dict(num_classes=19, num_layers=1, num_heads=6),
    test_cfg=dict(mode='whole'),
)

from mmood.recipe import bake

bake(globals())
