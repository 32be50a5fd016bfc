# DFDD (ICCV 2023).
runner_type = 'mmood.OODRunner'
# Only the deblurring network learns from L_DFDD: lambda would slow it down
# and nothing else. 1 / lambda undoes that for SGD; Adam needs 1.
deblur_lr_mult = 1000
ood = dict(
    scores=['energy', 'msp'],
    neck=dict(
        type='mmood.DFDDNeck',
        diffusion=dict(
            type='blur', num_steps=5, sigma_start=0.1, sigma_end=0.8
        ),
        loss_weight=0.001,  # lambda
    ),
    outliers=dict(type='mmood.BlurredOutliers'),
    losses=[
        dict(type='mmood.UncertaintyLoss', loss_weight=0.1),  # tau
        dict(type='mmood.ConsistencyLoss', loss_weight=0.001),  # beta
    ],
    optim_wrapper=dict(
        paramwise_cfg=dict(
            custom_keys=dict(
                unet=dict(lr_mult='$deblur_lr_mult', decay_mult=0)
            )
        )
    ),
)
