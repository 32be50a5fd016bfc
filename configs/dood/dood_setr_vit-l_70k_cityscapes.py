# Needs load_from: mmseg's setr_vit-l_naive of Cityscapes, or the authors'
# (tools/model_converters/dood.py).
_base_ = [
    'mmseg::_base_/models/setr_naive.py',
    '../_base_/datasets/cityscapes_ood.py',
    '../_base_/schedules/dood_70k.py',
    '../_base_/seg_runtime.py',
]
size = (768, 768)
model = dict(
    type='mmood.OODEncoderDecoder',
    pretrained=None,
    data_preprocessor=dict(type='mmood.OODSegDataPreProcessor', size=size),
    backbone=dict(drop_rate=0.0, patch_bias=True),
    decode_head=dict(num_classes=19, norm_cfg=dict(type='BN')),
    auxiliary_head=None,
    test_cfg=dict(mode='whole'),
    probe=dict(keys=-1),
    ood_head=dict(
        type='mmood.DOoDHead',
        channels=1024,
        denoiser=dict(type='mmood.DenoisingMLP', time_embedding='periodic'),
    ),
)
