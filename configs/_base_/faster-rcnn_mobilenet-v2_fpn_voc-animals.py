# Faster R-CNN on photographs of eight VOC classes that a CPU trains: its
# backbone stays frozen.
_base_ = [
    'models/shapes_detector.py',
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
strides = [8, 16, 32]
# From features of ImageNet AdamW gets further in as many steps than SGD.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=8e-4, weight_decay=0.02)
)
model = dict(
    data_preprocessor=dict(batch_augments='$one_size'),
    backbone='$frozen_backbone',
    neck=dict(
        in_channels='$backbone_channels',
        out_channels=width,
        norm_cfg=dict(type='BN'),
    ),
    rpn_head=dict(
        in_channels=width,
        anchor_generator=dict(scales=[2.5, 5, 10], strides=strides),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=width,
            finest_scale=56,
            featmap_strides=strides,
        ),
        bbox_head=dict(
            in_channels=width, fc_out_channels=512, reg_class_agnostic=True
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(max_per_img=200)),
)
