"""DFDD's outliers: the known objects on blurred maps."""

from __future__ import annotations

from torch import Tensor

from mmood.losses import Batch
from mmood.registry import MODELS
from mmood.scores import Samples

from .source import OutlierSource


@MODELS.register_module()
class BlurredOutliers(OutlierSource):
    """What the head sees at the known objects' places on ``blurred`` maps.

    A neck such as `mmood.DFDDNeck` makes these maps. Gradients flow into
    them. Source: DFDD (ICCV 2023), Sec. 4.1.
    """

    maps = ('blurred',)

    def forward(
        self, batch: Batch
    ) -> tuple[Samples | None, dict[str, Tensor]]:
        if not self.is_active(batch):
            return None, {}
        made = batch.look('blurred')
        return (made if len(made) else None), {}
