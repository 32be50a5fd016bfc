_base_ = [
    '../_base_/faster-rcnn_r50_fpn_18k_voc.py',
    '../_base_/methods/vos.py',
]
ood = dict(
    outliers=dict(queue_size=1000),
    train_transforms=[dict(type='mmood.RandomGaussianBlur')],
)

from mmood.recipe import bake

bake(globals())
