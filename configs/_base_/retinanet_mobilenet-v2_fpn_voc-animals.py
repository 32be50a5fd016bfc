# RetinaNet on photographs of eight VOC classes that a CPU trains: its
# backbone stays frozen.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'datasets/detection.py',
    'datasets/voc_animals.py',
    'datasets/held_out.py',
    'schedules/shapes.py',
    'det_runtime.py',
]
max_epochs = 16
id_set = dict(ignore_other_classes=True, without='$held_out')
id_test_set = id_set
train_dataloader = dict(
    batch_size=4, sampler=dict(type='DefaultSampler'), dataset=id_set
)
val_dataloader = dict(num_workers=1, dataset=id_set)
test_dataloader = dict(num_workers=1)
test_evaluator = dict(open_set=True, matched=True, calibration=True)
env_cfg = dict(float32_matmul_precision='medium')  # faster on a CPU
width = 96
strides = [8, 16, 32, 64]
# From features of ImageNet AdamW gets further in as many steps than SGD.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.02)
)
model = dict(
    data_preprocessor=dict(batch_augments='$one_size'),
    backbone='$frozen_backbone',
    neck=dict(
        in_channels='$backbone_channels',
        out_channels=width,
        start_level=0,
        add_extra_convs='on_output',
        num_outs=4,
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(
        in_channels=width,
        feat_channels=width,
        stacked_convs=2,
        anchor_generator=dict(strides=strides),
    ),
    test_cfg=dict(nms_pre=400),
)
