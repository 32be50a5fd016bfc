# Needs load_from: a checkpoint of posthoc/fcn_lite0_1k_shapes.py.
_base_ = ['../_base_/fcn_lite0_shapes.py', '../_base_/methods/dood.py']
probed_channels, step_size = 64, 2048
denoiser = dict(num_blocks=3, num_middle_blocks=1)
ood = dict(probe=dict(_delete_=True, module='decode_head.convs'))
train_pipeline = '$val_pipeline'
train_dataloader = dict(batch_size=16)
train_cfg = dict(val_begin=10**9)
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False)]

from mmood.recipe import bake

bake(globals())
