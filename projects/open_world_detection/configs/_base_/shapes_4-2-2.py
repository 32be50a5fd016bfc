# 4 + 2 + 2 classes of Shapes, those to come unknown.
_base_ = '../../../incremental_detection/configs/_base_/shapes_4-2.py'
incremental = dict(
    steps=[
        ['circle', 'bar', 'triangle', 'star'],
        ['cross', 'ring'],
        ['crescent', 'arrow'],
    ],
    open_world=dict(),
)
