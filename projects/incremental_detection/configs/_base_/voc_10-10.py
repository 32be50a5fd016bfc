# 10 + 10 classes of VOC; lengths as iOD's configs have them.
_base_ = './voc_classes.py'
incremental = dict(
    steps=[_base_.classes[:10], _base_.classes[10:]],
    exemplars=10,
    increment={'train_cfg.max_iters': 18000},
    finetune={
        **_base_.finetune,
        'train_cfg.max_iters': 5000,
        'model.test_cfg.rcnn.nms.iou_threshold': 0.4,
    },
)
