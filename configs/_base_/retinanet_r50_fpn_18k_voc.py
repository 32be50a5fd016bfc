# mmdet's RetinaNet on VOC, as long as VOS and DFDD train.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'datasets/detection.py',
    'datasets/voc.py',
    'schedules/sgd_iters.py',
    'det_runtime.py',
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3000))
log_processor = dict(by_epoch=False)
optim_wrapper = dict(optimizer=dict(lr=0.01))
