"""Test-time augmentation that keeps what boxes say of the unknown.

Shapes: n boxes kept of all views of an image together.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.ops import batched_nms
from mmdet.models import DetTTAModel
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmood.registry import MODELS


@MODELS.register_module()
class OODDetTTAModel(DetTTAModel):
    """mmdet's, whose merged boxes keep all fields of their own view.

    Boxes, confidences and labels are the parent's. A box that NMS keeps has
    the OOD scores, ``is_ood`` and ``max_class_scores`` that it had in its
    view: nothing is averaged over the views, and thresholds are those of
    single views. ::

        model=dict(type='mmood.OODDetTTAModel', module=dict(...),
                   tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5),
                                max_per_img=100))
    """

    merges_scores = True

    def _merge_single_sample(
        self, data_samples: Sequence[DetDataSample]
    ) -> DetDataSample:
        views = [sample.pred_instances for sample in data_samples]
        together = InstanceData.cat(views)
        merged = super()._merge_single_sample(data_samples)
        if not len(together):
            return merged
        metas = [sample.metainfo for sample in data_samples]
        boxes = self.merge_aug_bboxes([v.bboxes for v in views], None, metas)
        _, kept = batched_nms(
            boxes, together.scores, together.labels, self.tta_cfg.nms
        )
        found = together[kept[: self.tta_cfg.max_per_img]]
        found.update(merged.pred_instances)
        merged.pred_instances = found
        return merged
