# OpenDet with DFDD: a classifier of known and blurred features in the place
# of the uncertainty loss.
_base_ = [
    './opendet_parts.py',
    '../../../../../configs/_base_/methods/dfdd.py',
]
consistency = _base_.ood.losses[1]
ood = dict(
    losses=[
        *_base_.opendet_losses,
        dict(type='mmood.BlurredClassifierLoss'),
        consistency,
    ],
    head='$opendet_head',
)
