# SIREN (NeurIPS 2022).
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['vmf', dict(type='siren_knn', k=10), 'energy'],
    losses=[
        dict(
            type='mmood.SIRENLoss',
            channels=64,
            init_kappa=10.0,
            momentum=0.95,
            loss_weight=0.1,
        )
    ],
)
