# iOD with DFDD (ICCV 2023) in all stages: a binary classifier of known and
# blurred features in the place of its uncertainty loss.
_base_ = ['./iod.py', '../../../../configs/_base_/methods/dfdd.py']
ood = dict(
    scores=['energy'],
    losses=[dict(type='mmood.BlurredClassifierLoss'), _base_.ood.losses[1]],
)
