_base_ = [
    './_base_/shapes.py',
    './_base_/shapes_4-2.py',
    './_base_/iod.py',
]
incremental = dict(
    increment=dict(
        model=_base_.iod,
        custom_hooks=[*_base_.hooks, _base_.warp_fc],
    )
)
