"""Outliers that annotations flag, as those that Dream-Box paints."""

from __future__ import annotations

from torch import Tensor

from mmood.losses import Batch
from mmood.registry import MODELS
from mmood.scores import Samples

from .source import OutlierSource


@MODELS.register_module()
class AnnotatedOutliers(OutlierSource):
    """Makes none: the outliers are the rows annotated as OOD.

    Known rows count in every step, also where none is annotated.
    """

    reads = ('flagged',)

    def forward(
        self, batch: Batch
    ) -> tuple[Samples | None, dict[str, Tensor]]:
        return (batch.known[:0] if self.is_active(batch) else None), {}
