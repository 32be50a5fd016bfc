# 10 + 10 classes of VOC; lengths as iOD's configs have them.
_base_ = './voc_steps.py'
incremental = dict(
    steps=[_base_.order[:10], _base_.order[10:]],
    finetune={
        'max_iters': 5000,
        'model.test_cfg.rcnn.nms.iou_threshold': 0.4,
    },
)
