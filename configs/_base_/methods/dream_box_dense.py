# Dream-Box under a one-stage or DETR head. The logits are of sigmoids, whose
# energy is largest on the background: it doesn't count as known.
_base_ = 'dream_box.py'
ood = dict(
    losses=[
        dict(
            type='mmood.EnergyOODLoss',
            kind='focal',
            loss_weight=10.0,
            background=False,
        )
    ],
    rpn_head=None,
    # DINO makes queries to denoise of what is not packed apart.
    packer=dict(apart=True),
)
