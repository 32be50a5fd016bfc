# Mask2Former with Swin-L as MMSegmentation has it for Cityscapes.
_base_ = []
from mmengine.hub import get_config

model = get_config(
    'mmseg::mask2former/mask2former_swin-l-in22k-384x384-pre_8xb2-90k_'
    'cityscapes-512x1024.py'
).model.to_dict()
