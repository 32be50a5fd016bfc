# A split of one's own: the same with two more classes in a third step.
_base_ = ['_base_/shapes.py', '_base_/shapes_4-2.py', '_base_/iod.py']
incremental = dict(
    steps=[
        ['circle', 'bar', 'triangle', 'star'],
        ['cross', 'ring'],
        ['crescent', 'arrow'],
    ],
)
