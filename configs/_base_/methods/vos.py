# VOS (ICLR 2022), the public code's settings for BDD100k.
vos = dict(
    scores=['energy', 'msp'],
    outliers=dict(type='mmood.VirtualOutlierSynthesis', queue_size=300),
    outlier_start_share=2 / 3,
    loss_uncertainty=dict(
        type='mmood.LogisticUncertaintyLoss', loss_weight=0.1
    ),
)
