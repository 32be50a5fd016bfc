# FFS (CVPR 2023).
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['energy', 'msp'],
    outliers=dict(
        type='mmood.FlowFeatureSynthesis', loss_weight=1e-4, start_share=2 / 3
    ),
    losses=[dict(type='mmood.LogisticUncertaintyLoss', loss_weight=0.1)],
)
