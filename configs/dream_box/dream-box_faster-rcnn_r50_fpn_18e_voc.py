# 18 epochs of 16 images a batch, lr 0.02, here with the two steps down at
# the ends of epochs 12 and 16.
_base_ = [
    '../_base_/faster-rcnn_r50_fpn_18k_voc.py',
    '../_base_/methods/dream_box.py',
]
max_epochs = 18
train_cfg = dict(
    _delete_=True,
    type='EpochBasedTrainLoop',
    max_epochs='$max_epochs',
    val_begin=10**9,
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=500),
    dict(type='MultiStepLR', milestones=['2/3', '8/9'], gamma=0.1),
]
ood = dict(painted=dict(data_root='data/voc_dream/'))
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)

from mmood.recipe import bake

bake(globals())
