# mmdet's Faster R-CNN on VOC, trained as in VOS and DFDD.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'datasets/detection.py',
    'datasets/voc.py',
    'schedules/sgd_iters.py',
    'det_runtime.py',
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3000))
log_processor = dict(by_epoch=False)
