"""What the proposal network learns of objects that are flagged OOD."""

from __future__ import annotations

from mmdet.models.dense_heads import RPNHead
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from mmood.registry import MODELS

ROLES = ('object', 'ignore', 'background')


@MODELS.register_module()
class OODRPNHead(RPNHead):
    """Stock RPN head that is told what OOD objects are to it.

    Args:
        ood: ``'object'``: to be proposed like any other, so that unknown
            objects are found at test; ``'ignore'``: anchors on them do not
            count, which needs ``train_cfg.rpn.assigner.ignore_iof_thr`` > 0;
            ``'background'``: not to be proposed.

    The flags are ``gt_instances.ood``, set by `PackOODInputs`. Raises
    ValueError for another value, if the flags are missing, or if the
    assigner ignores nothing.
    """

    def __init__(self, *args, ood: str = 'object', **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if ood not in ROLES:
            raise ValueError(f'ood must be one of {ROLES}, got {ood!r}')
        threshold = getattr(
            getattr(self, 'assigner', None), 'ignore_iof_thr', 1
        )
        if ood == 'ignore' and threshold <= 0:
            raise ValueError(
                "ood='ignore' has no effect with ignore_iof_thr="
                f'{threshold}: set train_cfg.rpn.assigner.ignore_iof_thr, '
                'to 0.5 say'
            )
        self.ood = ood

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict:
        ignored = batch_gt_instances_ignore
        if self.ood != 'object':
            flags = [_flags(gt) for gt in batch_gt_instances]
            if self.ood == 'ignore':
                ignored = [
                    _join(gt[flag], None if ignored is None else ignored[i])
                    for i, (gt, flag) in enumerate(
                        zip(batch_gt_instances, flags)
                    )
                ]
            batch_gt_instances = [
                gt[~flag] for gt, flag in zip(batch_gt_instances, flags)
            ]
        return super().loss_by_feat(
            cls_scores,
            bbox_preds,
            batch_gt_instances,
            batch_img_metas,
            ignored,
        )

    def _get_targets_single(
        self,
        flat_anchors: Tensor,
        valid_flags: Tensor,
        gt_instances: InstanceData,
        img_meta: dict,
        gt_instances_ignore: InstanceData | None = None,
        unmap_outputs: bool = True,
    ) -> tuple:
        """As the parent, whose assigner ignores nothing if all is ignored."""
        targets = super()._get_targets_single(
            flat_anchors,
            valid_flags,
            gt_instances,
            img_meta,
            gt_instances_ignore,
            unmap_outputs,
        )
        ignored = gt_instances_ignore
        is_empty = not len(gt_instances)
        if self.ood == 'ignore' and is_empty and ignored is not None:
            boxes, weights = ignored.bboxes, targets[1]
            inside = bbox_overlaps(flat_anchors, boxes, mode='iof')
            on_ignored = inside > self.assigner.ignore_iof_thr
            weights[on_ignored.any(1)] = 0
        return targets


def _flags(instances: InstanceData) -> Tensor:
    if 'ood' not in instances:
        raise ValueError(
            'gt_instances have no ood flags: end the train_pipeline with '
            'mmood.PackOODInputs'
        )
    return instances.ood


def _join(first: InstanceData, other: InstanceData | None) -> InstanceData:
    """The boxes of both."""
    parts = [
        InstanceData(bboxes=part.bboxes)
        for part in (first, other)
        if part is not None
    ]
    return InstanceData.cat(parts)
