# OW-DETR as published, on VOC 2007: Deformable DETR with 100 queries, batches
# of 16 (8 GPUs of 2), and the backbone of DINO, which was shown no labels: it
# knows no class that is to come. README.md says where its weights are.
_base_ = [
    '../../../../configs/_base_/models/deformable-detr_r50.py',
    '../../../../configs/_base_/datasets/detection.py',
    '../../../../configs/_base_/datasets/voc.py',
    '../../../../configs/_base_/schedules/deformable_detr.py',
    '../../../../configs/_base_/det_runtime.py',
    '../../../incremental_detection/configs/_base_/steps.py',
    './owdetr.py',
]
backbone_weights = 'data/dino_resnet50_pretrain.pth'
model = dict(
    type='mmood.AttentionDeformableDETR',
    num_queries=100,
    backbone=dict(init_cfg=dict(checkpoint='$backbone_weights')),
)
train_ann = 'annotations/voc2007_trainval.json'
val_ann = test_ann = 'annotations/voc2007_test_ignore.json'
id_test_set = _base_.step_set
train_dataloader = dict(
    dataset=_base_.step_set, sampler=dict(type='DefaultSampler')
)
val_dataloader = dict(dataset=_base_.step_set)
test_dataloader = dict(dataset='$id_test_set')
val_evaluator = test_evaluator = _base_.step_metric
default_hooks = _base_.step_hooks
visualizer = dict(type='mmdet.DetLocalVisualizer')
param_scheduler = [dict(type='StepLR', step_size=40, gamma=0.1)]
auto_scale_lr = dict(base_batch_size=16)
# The public code counts its epochs on from task to task, so only the first
# has some without unknown objects. Its lower learning rate of increments is
# not for the backbone, which has 2e-5 in all stages.
lengths = dict(
    base={'max_epochs': 45, 'pseudo.start_epoch': 9},
    increment={
        'max_epochs': 5,
        'optim_wrapper.optimizer.lr': 2e-5,
        'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult': 1.0,
    },
    finetune={'max_epochs': 50},
)
