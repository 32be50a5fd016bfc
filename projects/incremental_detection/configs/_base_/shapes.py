# Shapes for incremental detection. run.py says which classes there are and
# which of them each set shows.
_base_ = '../../../../configs/_base_/faster-rcnn_r18_fpn_shapes.py'
custom_imports = dict(
    imports=['projects.incremental_detection.incremental_detection'],
    allow_failed_imports=False,
)
model = dict(
    type='mmood.IncrementalFasterRCNN',
    roi_head=dict(
        type='mmood.OODRoIHead',
        scores=['energy'],
        bbox_head=dict(
            reg_class_agnostic=True,
            cls_predictor_cfg=dict(type='mmood.GrowingLinear', num_seen=1),
        ),
    ),
)
id_test_set = step_set = dict(type='mmood.ClassStepCocoDataset')
train_dataloader = dict(dataset=step_set)
val_dataloader = dict(dataset=step_set)
test_dataloader = dict(dataset='$id_test_set')
val_evaluator = dict(_delete_=True, type='mmood.IncrementalDetMetric')
test_evaluator = dict(_delete_=True, type='mmood.IncrementalDetMetric')
default_hooks = dict(
    finite_loss=dict(type='mmood.FiniteLossHook'),
    idle_parts=dict(type='mmood.IdlePartsHook'),
)
visualizer = dict(type='mmdet.DetLocalVisualizer')
# Of iOD; run.py stores the images, `exemplars` of each class. An increment is
# so short that every 20 iterations would be 13 times.
warp = dict(
    type='mmood.WarpGradientHook',
    layers=['roi_head.bbox_head.shared_fcs.1'],
    interval=5,
    dataloader=dict(batch_size=8, num_workers=1),
)
