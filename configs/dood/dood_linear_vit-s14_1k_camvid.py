# Needs load_from: a checkpoint of posthoc/linear_vit-s14_1k_camvid.py.
_base_ = [
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/camvid.py',
    '../_base_/models/linear_vit-s14.py',
    '../_base_/schedules/dood.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/dood.py',
]
image_scale, size_divisor = (2000, 364), 14
train_pipeline = '$resized_train_pipeline'
val_pipeline = '$resized_val_pipeline'
test_pipeline = '$resized_test_pipeline'
# The backbone runs once for each picture; all trainings and tests share it.
ood = dict(
    frozen=dict(cache='work_dirs/cache', probes=[dict(keys=8), dict(keys=-1)])
)
max_iters = 1000
probed_channels, step_size = 384, 2048
denoiser = dict(num_blocks=3, num_middle_blocks=1)
train_dataloader = dict(num_workers=1)
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)
val_evaluator = [dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])]
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False)]

from mmood.recipe import bake

bake(globals())
