# OW-DETR on a split of VOC; its lengths there are not published, and those of
# the open-world tasks.
_base_ = [
    './owdetr_r50.py',
    '../../../incremental_detection/configs/_base_/voc_steps.py',
]
incremental = dict(
    open_world=dict(),
    base=_base_.lengths.base,
    increment=_base_.lengths.increment,
    finetune=dict(_delete_=True, **_base_.lengths.finetune),
)
