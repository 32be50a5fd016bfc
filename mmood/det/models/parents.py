"""What adapters ask of the heads of MMDetection that they stand before.

For readers and type checkers alone: at run time these classes are empty, and
a call of ``super`` reaches the head.

Shapes: B images, n boxes, priors or queries of one, L levels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdet.models.losses import CrossEntropyLoss, FocalLoss
from mmdet.models.task_modules import (
    BaseAssigner,
    BaseBBoxCoder,
    MlvlPointGenerator,
)
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn


class RoIHead(nn.Module):
    """Of proposals. ``bbox_head`` is one, or a list of one for each stage."""

    bbox_head: nn.Module
    bbox_roi_extractor: nn.Module
    shared_head: nn.Module
    with_shared_head: bool
    train_cfg: ConfigDict
    test_cfg: ConfigDict

    if TYPE_CHECKING:

        def loss(
            self, x: tuple, rpn_results_list: list, batch_data_samples: list
        ) -> dict[str, Tensor]: ...

        def predict_bbox(
            self,
            x: tuple,
            batch_img_metas: list[dict],
            rpn_results_list: list[InstanceData],
            rcnn_test_cfg: ConfigDict | None,
            rescale: bool = False,
            **kwargs,
        ) -> list[InstanceData]: ...


class BoxHead(nn.Module):
    """Of RoIs: ``bbox_head`` of a `RoIHead`."""

    num_classes: int

    if TYPE_CHECKING:

        def get_targets(
            self,
            sampling_results: list,
            rcnn_train_cfg: ConfigDict,
            concat: bool = True,
        ) -> tuple: ...


class RowHead(nn.Module):
    """Of priors or queries, each assigned to an object or to none."""

    assigner: BaseAssigner
    loss_cls: FocalLoss | CrossEntropyLoss
    train_cfg: ConfigDict
    test_cfg: ConfigDict

    if TYPE_CHECKING:

        def loss(self, *args, **kwargs) -> dict[str, Tensor]: ...

        def predict(self, *args, **kwargs) -> list[InstanceData]: ...

        def _get_targets_single(self, *args, **kwargs) -> tuple: ...


class DenseHead(RowHead):
    """Of maps, one stage."""

    bbox_coder: BaseBBoxCoder
    cls_out_channels: int  # K, or K + 1 with background
    in_channels: int | Sequence[int]
    prior_generator: MlvlPointGenerator

    if TYPE_CHECKING:

        def predict_by_feat(
            self, cls_scores: Sequence[Tensor], *args, **kwargs
        ) -> list[InstanceData]: ...

        def _predict_by_feat_single(self, *args, **kwargs) -> InstanceData: ...

        def _bbox_post_process(
            self, results: InstanceData, *args, **kwargs
        ) -> InstanceData: ...

        def _bbox_decode(self, *args) -> Tensor: ...  # of YOLOX

        def anchor_center(self, anchors: Tensor) -> Tensor: ...  # of GFL


class QueryHead(RowHead):
    """Of queries. It has ``fc_cls``, or one of ``cls_branches`` a layer."""

    fc_cls: nn.Linear
    cls_branches: nn.ModuleList
    embed_dims: int

    if TYPE_CHECKING:

        def _predict_by_feat_single(
            self,
            cls_score: Tensor,
            bbox_pred: Tensor,
            img_meta: dict,
            rescale: bool = True,
        ) -> InstanceData: ...

        def get_targets(self, *args, **kwargs) -> tuple: ...

        def _get_dn_targets_single(
            self, gt_instances: InstanceData, *args, **kwargs
        ) -> tuple: ...  # of DINO
