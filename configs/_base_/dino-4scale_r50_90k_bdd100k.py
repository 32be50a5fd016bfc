# DINO on BDD100k, its optimizer in iterations of 16 images.
_base_ = [
    'models/dino-4scale_r50.py',
    'datasets/detection.py',
    'datasets/bdd100k.py',
    'schedules/sgd_iters.py',
    'det_runtime.py',
]
max_iters = 90000
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10000))
log_processor = dict(by_epoch=False)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
