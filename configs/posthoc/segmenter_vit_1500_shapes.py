_base_ = [
    '../_base_/models/segmenter_shapes.py',
    '../_base_/datasets/shapes_seg.py',
    '../_base_/schedules/shapes_seg.py',
    '../_base_/seg_runtime.py',
]
