# Needs load_from: mmseg's setr_vit-l_naive of Cityscapes, or the authors'
# (tools/model_converters/dood.py).
_base_ = [
    'mmseg::_base_/models/setr_naive.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/dood.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/dood.py',
]
probed_channels = 1024
denoiser = dict(time_embedding='periodic')
model = dict(
    pretrained=None,
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor', size='$crop_size'
    ),
    backbone=dict(drop_rate=0.0, patch_bias=True),
    decode_head=dict(num_classes=19, norm_cfg=dict(type='BN')),
    auxiliary_head=None,
    test_cfg=dict(mode='whole'),
)

from mmood.recipe import bake

bake(globals())
