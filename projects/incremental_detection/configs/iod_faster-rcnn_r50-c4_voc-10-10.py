_base_ = [
    './_base_/voc.py',
    './_base_/voc_10-10.py',
    './_base_/iod.py',
]
incremental = dict(
    increment=dict(
        model=_base_.iod,
        custom_hooks=[*_base_.hooks, _base_.warp_c4],
    )
)
