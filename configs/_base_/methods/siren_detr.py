# SIREN (NeurIPS 2022) on Deformable DETR: 16 channels for VOC, 64 for BDD100k.
_base_ = 'siren.py'
siren_channels = 16
ood = dict(
    losses=[
        dict(
            type='mmood.SIRENLoss',
            channels='$siren_channels',
            init_kappa=10.0,
            momentum=0.95,
            loss_weight=1.5,
        )
    ]
)
