# 19 + 1 classes of VOC; lengths as iOD's configs have them.
_base_ = './voc_steps.py'
incremental = dict(
    steps=[_base_.order[:19], _base_.order[19:]],
    increment=dict(max_iters=2000),
    finetune=dict(max_iters=3000),
)
