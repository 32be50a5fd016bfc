# mmdet's Faster R-CNN on BDD100k, trained as in VOS and DFDD.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'datasets/detection.py',
    'datasets/bdd100k.py',
    'schedules/sgd_iters.py',
    'det_runtime.py',
]
max_iters = 90000
warmup = '1/900'
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10000))
log_processor = dict(by_epoch=False)
