_base_ = [
    './_base_/shapes.py',
    './_base_/shapes_4-2.py',
    './_base_/iod.py',
    './_base_/dfdd.py',
]
model = dict(
    neck=[_base_.model.neck, dict(_base_.dfdd_neck, channels=64)],
    roi_head=_base_.dfdd_losses,
)
optim_wrapper = _base_.dfdd_optim
incremental = dict(
    increment=dict(
        model=_base_.iod,
        custom_hooks=[*_base_.hooks, _base_.warp_fc],
    )
)
