"""ORE's auto-labelling of background RoIs as unknown objects."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead, Shared2FCBBoxHead
from mmengine.config import ConfigDict

from mmood.registry import MODELS

from .parents import BoxHead


class PseudoUnknownTargets(BoxHead):
    """Box head that learns its last class, 'unknown', from background RoIs.

    Before the class of a box head. Of each image the ``num_pseudo`` sampled
    background RoIs (those that overlap no object by the assigner's IoU) with
    the highest objectness become objects of that class; their boxes are not
    learned. The proposals must be sorted by objectness, as an RPN's are.
    Source: Joseph et al., "Towards Open World Object Detection", CVPR 2021,
    Sec. 4.2. Raises ValueError for a negative number; 0: none.
    """

    def __init__(self, *args, num_pseudo: int = 1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if num_pseudo < 0:
            raise ValueError(
                f'num_pseudo must be at least 0, got {num_pseudo}'
            )
        self.num_pseudo = num_pseudo

    def get_targets(
        self,
        sampling_results: list,
        rcnn_train_cfg: ConfigDict,
        concat: bool = True,
    ) -> tuple:
        """The parent's, with the labels of the pseudo-unknown RoIs."""
        targets = super().get_targets(
            sampling_results, rcnn_train_cfg, concat=False
        )
        for labels, res in zip(targets[0], sampling_results):
            best = res.neg_inds.argsort()[: self.num_pseudo]
            labels[len(res.pos_priors) + best] = self.num_classes - 1
        return tuple(map(torch.cat, targets)) if concat else targets


@MODELS.register_module()
class PseudoUnknownBBoxHead(PseudoUnknownTargets, Shared2FCBBoxHead):
    """Of a detector with FPN. See `PseudoUnknownTargets`."""


@MODELS.register_module()
class PseudoUnknownC4BBoxHead(PseudoUnknownTargets, BBoxHead):
    """Of a C4 detector, behind res5. See `PseudoUnknownTargets`."""
