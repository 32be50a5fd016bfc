_base_ = [
    '../_base_/faster-rcnn_mobilenet-v2_fpn_voc-animals.py',
    '../_base_/methods/vos.py',
]
ood = dict(train_transforms=[dict(type='mmood.RandomGaussianBlur')])

from mmood.recipe import bake

bake(globals())
