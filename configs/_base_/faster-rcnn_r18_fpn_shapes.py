# A small detector on Shapes.
_base_ = [
    'models/shapes_detector.py',
    'datasets/detection.py',
    'datasets/shapes_boxes.py',
    'schedules/shapes.py',
    'det_runtime.py',
]
train_pipeline = '$flip_pipeline'
train_dataloader = dict(
    batch_size=8, num_workers=1, sampler=dict(type='DefaultSampler')
)
val_dataloader = dict(batch_size=8, num_workers=1)
test_dataloader = dict(batch_size=8, num_workers=1)
