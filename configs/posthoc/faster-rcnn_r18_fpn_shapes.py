_base_ = [
    '../_base_/models/faster-rcnn_r18_fpn_shapes.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py',
    '../_base_/det_runtime.py',
]
