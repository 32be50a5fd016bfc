# PROSER (CVPR 2021), on boxes.
proser = dict(
    unknown_class=True,
    open_set_losses=dict(
        placeholders=dict(
            type='mmood.PlaceholderLoss', loss_weight=0.1, mix_weight=0.1
        )
    ),
    bbox_head=dict(reg_class_agnostic=True),
)
