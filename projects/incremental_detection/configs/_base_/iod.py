# iOD (TPAMI 2021): backbone and RoI head are distilled, and layers that only
# learn from stored images precondition the gradients of all others.
increment = dict(
    model=dict(
        task_weight=0.8,
        distillation=dict(
            backbone=dict(weight=1.0),
            roi=dict(weight=0.2, temperature=6.0, clamp=True),
        ),
    ),
    custom_hooks=['$warp'],
)
