"""Batches of images, or of features that were extracted before."""

from __future__ import annotations

from mmseg.models import SegDataPreProcessor

from mmood.references import check_resolved
from mmood.registry import MODELS


@MODELS.register_module()
class OODSegDataPreProcessor(SegDataPreProcessor):
    """Stock preprocessor that lets cached features pass as they are.

    A batch of `mmood.FeatureDataset` with a cache has ``features`` in the
    place of ``inputs``: a list, which becomes the model's ``inputs``.
    Raises ConfigError for a config that nobody resolved.
    """

    def __init__(self, *args, size: tuple | None = None, **kwargs) -> None:
        check_resolved('model.data_preprocessor.size', size)
        super().__init__(*args, size=size, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        if 'features' not in data:
            return super().forward(data, training)
        data = self.cast_data(data)
        return dict(
            inputs=list(data['features']),
            data_samples=data.get('data_samples'),
        )
