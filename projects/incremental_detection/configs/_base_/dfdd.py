# DFDD (ICCV 2023) in incremental detection: in all stages, with a binary
# classifier of known and blurred features in the place of its uncertainty.
_base_ = '../../../../configs/_base_/methods/dfdd.py'
dfdd_losses = dict(
    loss_uncertainty=dict(type='mmood.BlurredClassifierLoss'),
    loss_consistency=_base_.dfdd.loss_consistency,
)
# R50-C4 has no FPN: the neck takes the map of res4.
c4_neck = dict(_base_.dfdd_neck, channels=1024)
c4_optim = dict(
    paramwise_cfg=dict(
        custom_keys={
            'neck.unet': _base_.dfdd_optim.paramwise_cfg.custom_keys[
                'neck.1.unet'
            ]
        }
    )
)
