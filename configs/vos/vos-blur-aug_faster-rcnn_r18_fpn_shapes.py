_base_ = [
    '../_base_/faster-rcnn_r18_fpn_shapes.py',
    '../_base_/methods/vos.py',
]
ood = dict(train_transforms=[dict(type='mmood.RandomGaussianBlur')])

from mmood.recipe import bake

bake(globals())
