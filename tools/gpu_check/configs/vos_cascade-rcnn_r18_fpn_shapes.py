# The Shapes detector as a Cascade R-CNN of three stages, with VOS.
_base_ = [
    '../../../configs/_base_/faster-rcnn_r18_fpn_shapes.py',
    '../../../configs/_base_/methods/vos.py',
]
model = dict(
    type='CascadeRCNN',
    roi_head=dict(
        type='CascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=[
            dict(
                _base_.model.roi_head.bbox_head,
                reg_class_agnostic=True,
                bbox_coder=dict(
                    type='DeltaXYWHBBoxCoder', target_stds=[2 * s, 2 * s, s, s]
                ),
            )
            for s in (0.1, 0.067, 0.05)
        ],
    ),
    train_cfg=dict(rcnn=['$stage_cfg'] * 3),
)
stage_cfg = _base_.model.train_cfg.rcnn
