# VOS (ICLR 2022), the public code's settings for BDD100k.
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['energy', 'msp'],
    outliers=dict(
        type='mmood.VirtualOutlierSynthesis',
        queue_size=300,
        start_share=2 / 3,
    ),
    losses=[dict(type='mmood.LogisticUncertaintyLoss', loss_weight=0.1)],
)
