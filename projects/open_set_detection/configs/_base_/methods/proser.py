# PROSER (CVPR 2021), on boxes.
runner_type = 'mmood.OODRunner'
ood = dict(
    losses=[
        dict(type='mmood.PlaceholderLoss', loss_weight=0.1, mix_weight=0.1)
    ],
    head=dict(unknown_class=True, bbox_head=dict(reg_class_agnostic=True)),
)
