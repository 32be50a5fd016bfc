# 19 + 1 classes of VOC, those to come unknown.
_base_ = '../../../incremental_detection/configs/_base_/voc_19-1.py'
incremental = dict(open_world=dict())
