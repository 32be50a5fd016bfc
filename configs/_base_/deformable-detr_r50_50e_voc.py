# Deformable DETR on VOC, as long as its authors and SIREN's train.
_base_ = [
    'models/deformable-detr_r50.py',
    'datasets/detection.py',
    'datasets/voc.py',
    'schedules/deformable_detr.py',
    'det_runtime.py',
]
train_dataloader = dict(sampler=dict(type='DefaultSampler'))
