_base_ = [
    './_base_/voc.py',
    './_base_/voc_10-10.py',
    './_base_/iod.py',
    './_base_/dfdd.py',
]
model = dict(neck=_base_.c4_neck, roi_head=_base_.dfdd_losses)
optim_wrapper = _base_.c4_optim
incremental = dict(
    increment=dict(
        model=_base_.iod,
        custom_hooks=[*_base_.hooks, _base_.warp_c4],
    )
)
