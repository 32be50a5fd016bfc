# VOC 2007 for incremental detection, with R50-C4 and the schedule of iOD:
# 18 000 iterations of 8 images (4 GPUs of 2), lr 0.005. run.py says which
# classes there are and which of them each set shows. Objects marked difficult
# are trained on, and ignored in the test: its file says so.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    '../../../../configs/_base_/datasets/detection.py',
    '../../../../configs/_base_/datasets/voc.py',
    '../../../../configs/_base_/schedules/sgd_iters.py',
    '../../../../configs/_base_/det_runtime.py',
]
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
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3))),
)
train_ann = 'annotations/voc2007_trainval.json'
val_ann = test_ann = 'annotations/voc2007_test_ignore.json'
id_test_set = step_set = dict(type='mmood.ClassStepCocoDataset')
train_dataloader = dict(dataset=step_set)
val_dataloader = dict(dataset=step_set)
test_dataloader = dict(dataset='$id_test_set')
val_evaluator = dict(_delete_=True, type='mmood.IncrementalDetMetric')
test_evaluator = dict(_delete_=True, type='mmood.IncrementalDetMetric')
visualizer = dict(type='mmdet.DetLocalVisualizer')
# However long a stage is.
warmup = 100
param_scheduler = _base_.param_scheduler
param_scheduler[1]['milestones'] = [12000, 16000]
optim_wrapper = dict(optimizer=dict(lr=0.005))
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=1000),
    finite_loss=dict(type='mmood.FiniteLossHook'),
    idle_parts=dict(type='mmood.IdlePartsHook'),
)
log_processor = dict(by_epoch=False)
# Of iOD; run.py stores the images, `exemplars` of each class.
warp = dict(
    type='mmood.WarpGradientHook',
    layers=['roi_head.shared_head.layer4.2.conv3'],
    interval=20,
    dataloader=dict(batch_size=2, num_workers=2),
)
