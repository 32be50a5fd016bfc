# Needs load_from: this Segmenter trained on WHDLD.
_base_ = [
    'mmseg::_base_/models/segmenter_vit-b16_mask.py',
    '../_base_/datasets/whdld_ood.py',
    '../_base_/schedules/dood_70k.py',
    '../_base_/seg_runtime.py',
]
size = (256, 256)
model = dict(
    type='mmood.OODEncoderDecoder',
    pretrained=None,
    data_preprocessor=dict(type='mmood.OODSegDataPreProcessor', size=size),
    backbone=dict(img_size=size),
    decode_head=dict(num_classes=6),
    test_cfg=dict(mode='whole'),
    probe=dict(keys=-1),
    ood_head=dict(type='mmood.DOoDHead', channels=768),
)
