_base_ = [
    '../../incremental_detection/configs/_base_/shapes.py',
    '_base_/shapes_4-2-2.py',
    '_base_/ore.py',
]
# A base step has some 1000 iterations, an increment 300.
clustering = dict(start=200, interval=100, momentum=0.9)
