"""Test-time augmentation that keeps the OOD scores of pixels.

Shapes: V views of an image, H x W pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.structures import SegDataSample

from mmood.registry import MODELS


@MODELS.register_module()
class OODSegTTAModel(SegTTAModel):
    """mmseg's, with the mean of each score over the views of an image.

    Classes are the parent's, which leaves the last view's scores. All views
    are in the original image's size and turn by then, so their maps (1, H,
    W) lie on each other. ``is_ood`` is of the first score's mean, by the
    threshold of single views. ::

        tta_model = dict(type='mmood.OODSegTTAModel')
    """

    merges_scores = True

    def merge_preds(
        self, data_samples_list: Sequence[list[SegDataSample]]
    ) -> list[SegDataSample]:
        merged = super().merge_preds(data_samples_list)
        for sample, views in zip(merged, data_samples_list):
            sample.pred_ood = self._mean([view.pred_ood for view in views])
        return merged

    def _mean(self, views: Sequence[PixelData]) -> PixelData:
        names = views[0].score_names
        maps = {
            name: torch.stack([view.get(name) for view in views]).mean(0)
            for name in names
        }
        first = maps[names[0]]
        is_ood = first > self.module.scores.thresholds[names[0]]
        meta = dict(score_names=names)
        return PixelData(metainfo=meta, **maps, data=first, is_ood=is_ood)
