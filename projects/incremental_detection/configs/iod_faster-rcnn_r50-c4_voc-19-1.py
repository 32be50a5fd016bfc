_base_ = [
    './_base_/voc.py',
    './_base_/voc_19-1.py',
    './_base_/iod.py',
]
incremental = dict(
    increment=dict(
        model=_base_.iod,
        custom_hooks=[*_base_.hooks, _base_.warp_c4],
    )
)
