# DINO as MMDetection has it, without its data and schedule.
_base_ = []
from mmengine.hub import get_config

model = get_config(
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
).model.to_dict()
