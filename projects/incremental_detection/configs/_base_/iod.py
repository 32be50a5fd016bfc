# iOD (TPAMI 2021): backbone and RoI head are distilled, and layers that only
# learn from stored images precondition the gradients of all others.
iod = dict(
    task_weight=0.8,
    distillation=dict(
        backbone=dict(weight=1.0),
        roi=dict(weight=0.2, temperature=6.0, clamp=True),
    ),
)
# Images of the loader: run.py stores them, `exemplars` of each class.
warp_c4 = dict(
    type='mmood.WarpGradientHook',
    layers=['roi_head.shared_head.layer4.2.conv3'],
    interval=20,
    dataloader=dict(batch_size=2, num_workers=2),
)
# Shapes: an increment is so short that it would be 13 times.
warp_fc = dict(
    type='mmood.WarpGradientHook',
    layers=['roi_head.bbox_head.shared_fcs.1'],
    interval=5,
    dataloader=dict(batch_size=8, num_workers=1),
)
