# RTMDet-tiny as MMDetection has it, without its data and schedule.
_base_ = []
from mmengine.hub import get_config

model = get_config(
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
).model.to_dict()
