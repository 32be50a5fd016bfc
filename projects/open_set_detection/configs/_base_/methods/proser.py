# PROSER (CVPR 2021), on boxes.
runner_type = 'mmood.OODRunner'
custom_imports = dict(
    imports=['projects.open_set_detection.open_set_detection']
)
ood = dict(
    losses=[
        dict(type='mmood.PlaceholderLoss', loss_weight=0.1, mix_weight=0.1)
    ],
    head=dict(
        type='mmood.OpenSetRoIHead',
        unknown_class=True,
        bbox_head=dict(reg_class_agnostic=True),
    ),
)
