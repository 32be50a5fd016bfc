_base_ = [
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/camvid.py',
    '../_base_/models/linear_dinov2-s14.py',
    '../_base_/schedules/adamw_iters.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/posthoc_seg.py',
]
max_iters, warmup, num_workers = 1000, '1/10', 1
optim_wrapper = dict(optimizer=dict(lr=3e-3))
image_scale, size_divisor = (2000, 364), 14
train_pipeline = '$resized_train_pipeline'
val_pipeline = '$resized_val_pipeline'
test_pipeline = '$resized_test_pipeline'
val_evaluator = [dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])]
# The backbone runs once for each picture, for this and all other trainings.
ood = dict(
    frozen=dict(cache='work_dirs/cache', probes=[dict(keys=8), dict(keys=-1)])
)

from mmood.recipe import bake

bake(globals())
