# Needs load_from: mmseg's setr_vit-l_naive of ADE20K, or the authors'
# (tools/model_converters/dood.py).
_base_ = [
    'mmseg::_base_/models/setr_naive.py',
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/dood.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/dood.py',
]
probed_channels = 1024
denoiser = dict(num_blocks=8, num_middle_blocks=4)
load_labels = dict(reduce_zero_label=True)
model = dict(
    pretrained=None,
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor', size='$crop_size'
    ),
    backbone=dict(img_size='$crop_size', drop_rate=0.0, patch_bias=True),
    decode_head=dict(num_classes=150, norm_cfg=dict(type='BN')),
    auxiliary_head=None,
    test_cfg=dict(mode='whole'),
)

from mmood.recipe import bake

bake(globals())
