# Needs load_from: a checkpoint of posthoc/segmenter_vit_1500_shapes.py.
_base_ = ['../_base_/segmenter_vit_shapes.py', '../_base_/methods/dood.py']
max_iters = 1000
probed_channels, step_size = 128, 2048
denoiser = dict(num_blocks=3, num_middle_blocks=1)
train_pipeline = '$val_pipeline'
train_dataloader = dict(batch_size=16)
train_cfg = dict(val_begin=10**9)
optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False)]

from mmood.recipe import bake

bake(globals())
