"""DETR heads that learn 'unknown' as their last class.

Shapes: B images, n queries of one, K known classes of all steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.registry import MODELS

from .parents import QueryHead
from .rows import RowAdapter


class UnknownQueries(RowAdapter, QueryHead):
    """The class K, 'unknown', before a DETR head's own class.

    No object is annotated with it. A ``pseudo`` part, such as
    `AttentionPseudoUnknown`, takes queries that no object is assigned to for
    unknown objects, in each decoder layer: their class is learned, their
    boxes are not, and they do not count in the averages.
    """

    pseudo: nn.Module | None
    _attention: Tensor | None = None  # (B, H, W), while losses are made

    def add_unknown(
        self, unknown_class: bool, pseudo: dict | None, predictor: dict | None
    ) -> None:
        """What `OODHead` says of them.

        Raises ValueError for a pseudo part without a class for the unknown,
        or in a two-stage detector.
        """
        self.unknown_class, self.pseudo = unknown_class, None
        if pseudo is not None:
            if not unknown_class:
                raise ValueError(
                    'pseudo needs a class for unknown objects: set '
                    'unknown_class=True'
                )
            if getattr(self, 'as_two_stage', True):
                raise ValueError(
                    f'pseudo is not defined for the {type(self).__name__} of '
                    'a two-stage detector, whose encoder proposes by class: '
                    'take a Deformable DETR with as_two_stage=False'
                )
            self.pseudo = MODELS.build(pseudo)
        if predictor is not None:
            self._replace_layers(predictor)

    def _replace_layers(self, predictor: dict) -> None:
        """Linear layers of another type; those that were shared still are."""
        made = {
            old: MODELS.build(
                dict(
                    predictor,
                    in_features=old.in_features,
                    out_features=old.out_features,
                )
            )
            for old in dict.fromkeys(self._layers)
        }
        if hasattr(self, 'fc_cls'):
            self.fc_cls = made[self.fc_cls]
        else:
            layers = [made[old] for old in self.cls_branches]
            self.cls_branches = nn.ModuleList(layers)

    @contextmanager
    def looking_at(self, attention: Tensor | None) -> Iterator[None]:
        """Targets inside may be unknown objects, by the images' attention.

        Raises ValueError if a pseudo part gets none.
        """
        if self.pseudo is not None and attention is None:
            raise ValueError(
                "pseudo needs the backbone's attention: set "
                "model.type='mmood.AttentionDeformableDETR'"
            )
        self._attention = attention
        try:
            yield
        finally:
            self._attention = None

    def get_targets(
        self,
        cls_scores_list: Sequence[Tensor],
        bbox_preds_list: Sequence[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
    ) -> tuple:
        """The parent's, with the queries that are taken for unknown."""
        targets = super().get_targets(
            cls_scores_list,
            bbox_preds_list,
            batch_gt_instances,
            batch_img_metas,
        )
        attention = self._attention
        if self.pseudo is None or attention is None:
            return targets
        if not self.pseudo.is_active:
            return targets
        labels, weights = targets[:2]
        kept: Sequence[Tensor | None] = [None] * len(labels)
        if self._assigned is not None:
            kept = self._assigned[-len(labels) :]
        for image, boxes in enumerate(bbox_preds_list):
            height, width = batch_img_metas[image]['img_shape'][:2]
            corners = bbox_cxcywh_to_xyxy(boxes.detach())
            corners = corners * corners.new_tensor([width, height] * 2)
            # Those on flagged objects have no weight.
            is_free = labels[image] == self.num_classes
            is_free &= weights[image] > 0
            seen = attention[image, :height, :width]
            chosen = self.pseudo(seen, corners, is_free)
            for one in (labels[image], kept[image]):
                if one is not None:
                    one.masked_fill_(chosen, self.num_known)
        return targets
