# CSI (NeurIPS 2020).
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['csi', 'energy'],
    losses=[dict(type='mmood.CSILoss', loss_weight=0.1)],
)
