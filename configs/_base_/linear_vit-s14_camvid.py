# CamVid in whole pictures for a ViT with patches of 14 px, and a linear
# classifier on it; what learns from pasted objects has them from `objects`.
_base_ = [
    'models/linear_vit-s14.py',
    'datasets/segmentation.py',
    'datasets/camvid.py',
    'schedules/adamw_iters.py',
    'seg_runtime.py',
]
warmup, num_workers = '1/10', 1
optim_wrapper = dict(optimizer=dict(lr=3e-3))
image_scale, size_divisor = (2000, 364), 14
train_pipeline = '$resized_train_pipeline'
val_pipeline = '$resized_val_pipeline'
test_pipeline = '$resized_test_pipeline'
val_evaluator = [dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])]
