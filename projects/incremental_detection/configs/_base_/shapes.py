# Shapes for incremental detection. run.py says which classes there are and
# which of them each set shows.
_base_ = [
    '../../../../configs/_base_/models/shapes_detector.py',
    '../../../../configs/_base_/datasets/shapes.py',
    '../../../../configs/_base_/schedules/shapes.py',
    '../../../../configs/_base_/det_runtime.py',
]
custom_imports = dict(
    imports=['projects.incremental_detection.incremental_detection'],
    allow_failed_imports=False,
)
model = dict(
    type='mmood.IncrementalFasterRCNN',
    roi_head=dict(
        scores=['energy'],
        bbox_head=dict(
            reg_class_agnostic=True,
            cls_predictor_cfg=dict(type='mmood.GrowingLinear', num_seen=1),
        ),
    ),
)
dataset_type = 'mmood.ClassStepCocoDataset'
train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = dict(
    dataset=dict(
        _base_.id_set,
        _delete_=True,
        type=dataset_type,
        ann_file='annotations/test.json',
        pipeline=_base_.test_pipeline,
        test_mode=True,
    )
)
val_evaluator = dict(_delete_=True, type='mmood.IncrementalDetMetric')
test_evaluator = dict(_delete_=True, type='mmood.IncrementalDetMetric')
hooks = [dict(type='mmood.FiniteLossHook')]
custom_hooks = hooks
default_hooks = dict(idle_parts=dict(type='mmood.IdlePartsHook'))
visualizer = dict(type='mmdet.DetLocalVisualizer')
