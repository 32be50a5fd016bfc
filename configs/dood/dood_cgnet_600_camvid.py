# On a segmentor that is no transformer, as it comes.
_base_ = [
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/camvid.py',
    '../_base_/models/cgnet.py',
    '../_base_/schedules/dood.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/dood.py',
    '../_base_/methods/dense_scores.py',
]
load_from = '{{$MMOOD_WEIGHTS:weights}}/cgnet_camvid.pth'
max_iters, num_workers = 600, 1
probed_channels, step_size = 256, 1024
denoiser = dict(num_blocks=3, num_middle_blocks=1)
train_pipeline = '$resized_train_pipeline'
val_pipeline = '$resized_val_pipeline'
test_pipeline = '$resized_test_pipeline'
val_set = '$quarter_val_set'
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False)]
env_cfg = dict(float32_matmul_precision='medium')  # of the denoiser
ood = dict(
    probe=dict(keys=None, module='backbone', index=2, channels=256),
    scores='$compared',
)

from mmood.recipe import bake

bake(globals())
