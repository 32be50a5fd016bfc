_base_ = [
    '../_base_/datasets/segmentation.py',
    '../_base_/datasets/camvid.py',
    '../_base_/models/linear_vit-s14.py',
    '../_base_/schedules/adamw_iters.py',
    '../_base_/seg_runtime.py',
    '../_base_/methods/posthoc_seg.py',
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
train_dataloader = dict(num_workers=1)
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)
val_evaluator = [dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])]

from mmood.recipe import bake

bake(globals())
