# 15 + 5 classes of VOC, those to come unknown.
_base_ = '../../../incremental_detection/configs/_base_/voc_15-5.py'
incremental = dict(open_world=dict())
