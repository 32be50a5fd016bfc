_base_ = [
    '../../../configs/_base_/deformable-detr_r18_shapes.py',
    '../../incremental_detection/configs/_base_/steps.py',
    '_base_/shapes_4-2-2.py',
    '_base_/owdetr.py',
]
model = dict(type='mmood.AttentionDeformableDETR')
id_test_set = _base_.step_set
train_dataloader = dict(dataset=_base_.step_set)
val_dataloader = dict(dataset=_base_.step_set)
test_dataloader = dict(dataset='$id_test_set')
val_evaluator = test_evaluator = _base_.step_metric
default_hooks = _base_.step_hooks
visualizer = dict(type='mmdet.DetLocalVisualizer')
incremental = dict(
    base={'max_epochs': 18, 'pseudo.start_epoch': 4},
    increment={'max_epochs': 4, 'optim_wrapper.optimizer.lr': 1e-4},
    finetune={'max_epochs': 20, 'optim_wrapper.optimizer.lr': 2e-4},
)
