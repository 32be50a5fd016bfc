# Needs load_from: a checkpoint of posthoc/linear_dinov2-s14_1k_camvid.py.
_base_ = [
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/camvid.py',
    '../_base_/models/linear_dinov2-s14.py',
    '../_base_/schedules/dood.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/dood.py',
    '../_base_/methods/dense_scores.py',
]
max_iters, num_workers = 600, 1
probed_channels, step_size = 384, 1024
denoiser = dict(num_blocks=3, num_middle_blocks=1)
image_scale, size_divisor = (2000, 364), 14
train_pipeline = '$resized_train_pipeline'
val_pipeline = '$resized_val_pipeline'
test_pipeline = '$resized_test_pipeline'
val_set = '$quarter_val_set'
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False)]
env_cfg = dict(float32_matmul_precision='medium')  # of the denoiser
ood = dict(
    frozen=dict(cache='work_dirs/cache', probes=[dict(keys=8), dict(keys=-1)]),
    scores='$compared',
)

from mmood.recipe import bake

bake(globals())
