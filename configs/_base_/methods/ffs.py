# FFS (CVPR 2023).
ffs = dict(
    scores=['energy', 'msp'],
    outliers=dict(type='mmood.FlowFeatureSynthesis', loss_weight=1e-4),
    outlier_start_share=2 / 3,
    loss_uncertainty=dict(
        type='mmood.LogisticUncertaintyLoss', loss_weight=0.1
    ),
)
