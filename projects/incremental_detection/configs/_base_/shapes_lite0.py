# Shapes as in shapes.py, with ImageNet features whose lower levels stay as
# they are: a detector that is good enough to be asked for unknown objects.
_base_ = [
    '../../../../configs/_base_/faster-rcnn_lite0_fpn_shapes.py',
    './steps.py',
]
model = _base_.incremental_model
id_test_set = _base_.step_set
train_dataloader = dict(dataset=_base_.step_set)
val_dataloader = dict(dataset=_base_.step_set)
test_dataloader = dict(dataset='$id_test_set')
val_evaluator = test_evaluator = _base_.step_metric
default_hooks = _base_.step_hooks
visualizer = dict(type='mmdet.DetLocalVisualizer')
# However long a stage is.
param_scheduler = _base_.param_scheduler
param_scheduler[0] = dict(
    type='LinearLR', start_factor=0.02, by_epoch=False, end=100
)
