_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/datasets/voc_mini.py',
    '../_base_/schedules/shapes.py',
    '../_base_/det_runtime.py',
]
# From random weights (none can be fetched offline), small for a CPU; give
# model.backbone.init_cfg a checkpoint where you have one.
max_epochs = 30
model = dict(
    backbone=dict(depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=128),
    rpn_head=dict(in_channels=128, feat_channels=128),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=128, roi_layer=dict(sampling_ratio=2)
        ),
        bbox_head=dict(in_channels=128, fc_out_channels=512, num_classes=8),
    ),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=300), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(max_per_img=300)),
)
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs + 1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, end=100),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        eta_min_ratio=0.01,
        convert_to_iter_based=True,
    ),
]
