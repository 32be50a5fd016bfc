"""A RoI head that also names what belongs to no known class.

Shapes: n boxes kept of one image, K known classes. Label K is 'unknown'.
"""

from __future__ import annotations

from typing import cast

from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmood.losses import OUTLIER, Batch, OpenSetLoss
from mmood.registry import MODELS

from .open_set_boxes import assigned_ious, merge_label
from .parents import BoxHead
from .roi_heads import OODRoIHead
from .roi_tools import Step


@MODELS.register_module()
class OpenSetRoIHead(OODRoIHead):
    """`OODRoIHead` whose boxes may have the label K, 'unknown'.

    There are two ways to it, and both may be taken. A box head with an
    ``unknown_class`` has it among its classes, as the last one: no object is
    annotated with it, losses teach it. Or boxes of known classes are turned
    down by their OOD score; of those that then overlap, NMS with the test's
    settings leaves one. ``is_ood`` is True for the boxes with label K.

    Args:
        unknown_class: whether the last of ``bbox_head.num_classes`` = K + 1
            classes is 'unknown'. It needs ``reg_class_agnostic=True``, as
            nothing would teach its own boxes. Scores get the K known logits,
            losses all of them; RoIs that the box head takes for unknown are
            labelled `OUTLIER`.
        rejects: whether boxes are unknown where the first score exceeds
            ``reject_above``.
        reject_above: None: the calibrated threshold of the first score, and
            as long as there is none, no box.

    Raises ValueError for an `OpenSetLoss` without an ``unknown_class``, and
    for that with boxes by class.
    """

    def __init__(
        self,
        *args,
        unknown_class: bool = False,
        rejects: bool = False,
        reject_above: float | None = None,
        **kwargs,
    ) -> None:
        # Known to `num_classes` before the parts ask for it.
        self.unknown_class = unknown_class
        super().__init__(*args, **kwargs)
        self.rejects, self.reject_above = rejects, reject_above
        needing = [
            name
            for name, loss in self.losses.items()
            if isinstance(loss, OpenSetLoss)
        ]
        if needing and not unknown_class:
            raise ValueError(
                f'{needing} of losses need a class for the unknown: set '
                'unknown_class=True and bbox_head.num_classes to one more '
                'than the known classes'
            )
        if unknown_class and not self.bbox_head.reg_class_agnostic:
            raise ValueError(
                'unknown_class=True needs bbox_head.reg_class_agnostic=True, '
                'got False: no object teaches the boxes of the unknown class'
            )

    @property
    def num_classes(self) -> int:
        """K."""
        return super().num_classes - self.unknown_class

    @property
    def num_known(self) -> int:
        """K, which `mmood.CheckDataHook` compares with the data's classes."""
        return self.num_classes

    def batch_of(self, x: tuple, step: Step) -> Batch:
        batch = super().batch_of(x, step)
        found = step.sampling_results
        batch.ious = assigned_ious(found)
        if self.unknown_class:
            head = cast(BoxHead, self.bbox_head)
            targets = head.get_targets(found, self.train_cfg)[0]
            is_unknown = targets == self.num_classes
            batch.labels = batch.labels.masked_fill(is_unknown, OUTLIER)
        return batch

    def _keep(
        self, raw: InstanceData, cfg: ConfigDict, *parts: Tensor
    ) -> InstanceData:
        result = super()._keep(raw, cfg, *parts)
        if self.keeps_samples or not (self.unknown_class or self.rejects):
            return result
        if self.rejects:
            is_ood = result.is_ood
            if self.reject_above is not None:
                is_ood = result.ood_scores > self.reject_above
            result.labels = result.labels.masked_fill(is_ood, self.num_classes)
            result = merge_label(result, self.num_classes, cfg.nms)
        result.is_ood = result.labels == self.num_classes
        return result
