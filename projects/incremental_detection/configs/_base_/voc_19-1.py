# 19 + 1 classes of VOC; lengths as iOD's configs have them.
_base_ = './voc_classes.py'
incremental = dict(
    steps=[_base_.classes[:19], _base_.classes[19:]],
    exemplars=10,
    increment={'train_cfg.max_iters': 2000},
    finetune={
        **_base_.finetune,
        'train_cfg.max_iters': 3000,
    },
)
