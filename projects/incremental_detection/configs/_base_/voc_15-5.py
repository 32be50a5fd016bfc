# 15 + 5 classes of VOC; lengths as iOD's configs have them.
_base_ = './voc_classes.py'
incremental = dict(
    steps=[_base_.classes[:15], _base_.classes[15:]],
    exemplars=10,
    increment={'train_cfg.max_iters': 2000},
    finetune={
        **_base_.finetune,
        'train_cfg.max_iters': 10000,
    },
)
