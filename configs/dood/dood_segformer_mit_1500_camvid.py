# Needs load_from: a checkpoint of posthoc/segformer_mit_1800_camvid.py.
_base_ = ['../_base_/segformer_mit_camvid.py', '../_base_/methods/dood.py']
max_iters = 1500
probed_channels, step_size = 160, 2048
denoiser = dict(num_blocks=3, num_middle_blocks=1)
train_pipeline = '$val_pipeline'
train_dataloader = dict(batch_size=8)
train_cfg = dict(val_begin=10**9)
optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False)]

from mmood.recipe import bake

bake(globals())
