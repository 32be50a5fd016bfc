# GAN-synthesis (ICLR 2018).
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['msp', 'energy'],
    outliers=dict(type='mmood.GANSynthesis'),
    losses=[dict(type='mmood.ConfidenceLoss', loss_weight=1.0)],  # beta
)
