# What the steps need, whatever the data: a detector whose classes join, sets
# that show a part of them. run.py says which classes there are and which of
# them each set shows, and of each stage what the variables are.
custom_imports = dict(
    imports=['projects.incremental_detection.incremental_detection'],
    allow_failed_imports=False,
)
num_seen, num_old, task = 1, 0, 1
incremental_model = dict(
    type='mmood.IncrementalFasterRCNN',
    num_old='$num_old',
    roi_head=dict(
        type='mmood.OODRoIHead',
        scores=['energy'],
        bbox_head=dict(
            reg_class_agnostic=True,
            cls_predictor_cfg=dict(
                type='mmood.GrowingLinear', num_seen='$num_seen'
            ),
        ),
    ),
)
step_set = dict(type='mmood.ClassStepCocoDataset')
step_metric = dict(_delete_=True, type='mmood.IncrementalDetMetric')
step_hooks = dict(
    finite_loss=dict(type='mmood.FiniteLossHook'),
    idle_parts=dict(type='mmood.IdlePartsHook'),
)
