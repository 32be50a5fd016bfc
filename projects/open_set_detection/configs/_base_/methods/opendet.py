# OpenDet (CVPR 2022).
_base_ = './opendet_parts.py'
runner_type = 'mmood.OODRunner'
ood = dict(losses='$opendet_losses', head='$opendet_head')
