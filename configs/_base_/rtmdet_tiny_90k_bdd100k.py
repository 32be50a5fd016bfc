# RTMDet-tiny on BDD100k, one scale of 640 px, AdamW.
_base_ = [
    'models/rtmdet_tiny.py',
    'datasets/detection.py',
    'datasets/bdd100k.py',
    'schedules/sgd_iters.py',
    'det_runtime.py',
]
max_iters = 90000
image_scale = (640, 640)
train_scales = [(640, 640)]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10000))
log_processor = dict(by_epoch=False)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05)
)
model = dict(data_preprocessor=dict(pad_size_divisor=32))
