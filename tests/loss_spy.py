"""A loss that keeps the batch it sees."""

from mmood.losses import OODLoss
from mmood.registry import MODELS


@MODELS.register_module(force=True)
class SpyLoss(OODLoss):
    """Its value is the mean of all logits and features of known rows."""

    def __init__(self, needs_outliers=False):
        super().__init__()
        self.needs_outliers = needs_outliers

    def forward(self, batch):
        self.batch = batch
        known = batch.known
        total = known.logits.sum() + known.features.sum()
        if batch.outliers is not None:
            total = total + batch.outliers.logits.sum()
        return dict(loss_spy=total / max(len(known), 1))
