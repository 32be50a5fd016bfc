"""ORE's auto-labelling of background RoIs as unknown objects."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmengine.config import ConfigDict

from mmood.registry import MODELS


@MODELS.register_module()
class PseudoUnknownBBoxHead(Shared2FCBBoxHead):
    """Box head that learns its last class, 'unknown', from background RoIs.

    Of each image the ``num_pseudo`` sampled background RoIs with the highest
    objectness become objects of that class; their boxes are not learned.
    The proposals must be sorted by objectness, as an RPN's are. Source:
    Joseph et al., "Towards Open World Object Detection", CVPR 2021, Sec. 4.2.
    Raises ValueError for less than one pseudo-unknown RoI.
    """

    def __init__(self, *args, num_pseudo: int = 1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if num_pseudo < 1:
            raise ValueError(
                f'num_pseudo must be at least 1, got {num_pseudo}'
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
