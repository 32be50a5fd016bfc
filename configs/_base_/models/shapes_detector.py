# A detector for 96 px scenes that a CPU trains from scratch in minutes.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'
width = 64
model = dict(
    backbone=dict(
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        base_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128], out_channels=width, num_outs=3),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=[6], strides=[4, 8, 16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=width,
            finest_scale=28,
            featmap_strides=[4, 8, 16],
            roi_layer=dict(output_size=5, sampling_ratio=2),
        ),
        bbox_head=dict(
            in_channels=width,
            roi_feat_size=5,
            fc_out_channels=256,
            num_classes=8,
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=400, max_per_img=100)),
)
