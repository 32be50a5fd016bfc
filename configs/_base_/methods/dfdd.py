# DFDD (ICCV 2023).
runner_type = 'mmood.OODRunner'
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
    # Only the deblurring network learns from L_DFDD: lambda would slow it
    # down and nothing else. 1 / lambda undoes that.
    optim_wrapper=dict(
        paramwise_cfg=dict(
            custom_keys=dict(unet=dict(lr_mult=1000, decay_mult=0))
        )
    ),
)
