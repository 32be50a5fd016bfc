# VOC 2007 for incremental detection, with R50-C4 and the schedule of iOD:
# 18 000 iterations of 8 images (4 GPUs of 2), lr 0.005. Objects marked
# difficult are trained on, and ignored in the test: its file says so.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    '../../../../configs/_base_/datasets/detection.py',
    '../../../../configs/_base_/datasets/voc.py',
    '../../../../configs/_base_/schedules/sgd_iters.py',
    '../../../../configs/_base_/det_runtime.py',
    './steps.py',
]
model = dict(
    _base_.incremental_model,
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3))),
)
train_ann = 'annotations/voc2007_trainval.json'
val_ann = test_ann = 'annotations/voc2007_test_ignore.json'
id_test_set = _base_.step_set
train_dataloader = dict(dataset=_base_.step_set)
val_dataloader = dict(dataset=_base_.step_set)
test_dataloader = dict(dataset='$id_test_set')
val_evaluator = test_evaluator = _base_.step_metric
default_hooks = dict(
    _base_.step_hooks, checkpoint=dict(by_epoch=False, interval=1000)
)
visualizer = dict(type='mmdet.DetLocalVisualizer')
log_processor = dict(by_epoch=False)
# However long a stage is.
warmup = 100
param_scheduler = _base_.param_scheduler
param_scheduler[1]['milestones'] = [12000, 16000]
optim_wrapper = dict(optimizer=dict(lr=0.005))
auto_scale_lr = dict(base_batch_size=8)
# Of iOD; run.py stores the images, `exemplars` of each class.
warp = dict(
    type='mmood.WarpGradientHook',
    layers=['roi_head.shared_head.layer4.2.conv3'],
    interval=20,
    dataloader=dict(batch_size=2, num_workers=2),
)
