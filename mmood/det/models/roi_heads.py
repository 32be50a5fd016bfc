"""RoI heads whose boxes say how unknown they are.

Shapes: R RoIs of all images, M of them on flagged objects.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from torch import Tensor, nn

from mmood.registry import MODELS

from .roi import RoIAdapter


@MODELS.register_module()
class OODRoIHead(RoIAdapter, StandardRoIHead):
    """The RoI head of Faster R-CNN and Mask R-CNN. See `RoIAdapter`."""

    def bbox_loss(self, x: tuple, sampling_results: list) -> dict:
        step = self._without_flagged(
            super().bbox_loss, self.bbox_head, x, sampling_results
        )
        return step.results


@MODELS.register_module()
class OODCascadeRoIHead(RoIAdapter, CascadeRoIHead):
    """The RoI head of Cascade R-CNN, masks included. See `RoIAdapter`.

    Scores and OOD losses are those of the last stage, whose weight the
    losses are not multiplied with. All stages learn without flagged objects,
    whose RoIs are refined from stage to stage like the others.
    """

    bbox_head: nn.ModuleList
    num_stages: int
    _bbox_forward: Callable[[int, tuple, Tensor], dict]

    def bbox_loss(self, stage: int, x: tuple, sampling_results: list) -> dict:
        step = self._without_flagged(
            partial(super().bbox_loss, stage),
            self.bbox_head[stage],
            x,
            sampling_results,
        )
        results, flagged = step.results, step.flagged.proposals
        if stage < self.num_stages - 1 and len(flagged):
            self._append(results, self._of_stage(stage, x, flagged))
        return results

    @torch.no_grad()
    def _of_stage(self, stage: int, x: tuple, rois: Tensor) -> dict:
        """What `refine_bboxes` reads of a stage, for RoIs without a class."""
        results = self._bbox_forward(stage, x, rois)
        head: BBoxHead = self.bbox_head[stage]
        background = head.num_classes
        labels = rois.new_full((len(rois),), background, dtype=torch.long)
        return dict(results, rois=rois, bbox_targets=(labels,))

    @staticmethod
    def _append(results: dict, more: dict) -> None:
        """Have the next stage refine more RoIs, in place."""
        for name in ('rois', 'cls_score', 'bbox_pred'):
            results[name] = torch.cat([results[name], more[name]])
        labels, *rest = results['bbox_targets']
        labels = torch.cat([labels, more['bbox_targets'][0]])
        results['bbox_targets'] = (labels, *rest)
