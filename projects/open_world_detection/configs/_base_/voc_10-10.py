# 10 + 10 classes of VOC, those to come unknown.
_base_ = '../../../incremental_detection/configs/_base_/voc_10-10.py'
incremental = dict(open_world=dict())
