# Mask2Former as MMSegmentation has it for Cityscapes, without its data.
_base_ = []
from mmengine.hub import get_config

model = get_config(
    'mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py'
).model.to_dict()
