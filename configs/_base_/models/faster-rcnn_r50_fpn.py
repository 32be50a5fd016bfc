# mmdet's Faster R-CNN; its boxes also carry OOD scores.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'
model = dict(roi_head=dict(type='mmood.OODRoIHead', scores=['energy', 'msp']))
