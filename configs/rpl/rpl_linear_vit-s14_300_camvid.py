# Needs load_from: a checkpoint of posthoc/linear_vit-s14_1k_camvid.py.
_base_ = ['../_base_/linear_vit-s14_camvid.py', '../_base_/methods/rpl.py']
max_iters, objects = 300, '$cut_objects'
paste = dict(area=(0.002, 0.05))
block = dict(
    source='decode_head.conv_seg',
    target='decode_head.conv_seg',
    source_channels=384,
    target_channels=384,
    channels=128,
    dilations=(2, 4, 6),
)
train_dataloader = dict(batch_size=4)
train_cfg = dict(val_begin=10**9)
optim_wrapper = dict(optimizer=dict(lr=1e-3))

from mmood.recipe import bake

bake(globals())
