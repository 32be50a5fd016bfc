# Deformable DETR as MMDetection has it, without its data and schedule.
_base_ = []
from mmengine.hub import get_config

model = get_config(
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
).model.to_dict()
