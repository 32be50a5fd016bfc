# Deformable DETR on BDD100k, as long as its authors and SIREN's train.
_base_ = [
    'models/deformable-detr_r50.py',
    'datasets/detection.py',
    'datasets/bdd100k.py',
    'schedules/deformable_detr.py',
    'det_runtime.py',
]
train_dataloader = dict(sampler=dict(type='DefaultSampler'))
