"""A RoI head that also names what belongs to no known class.

Shapes: R RoIs of all images, n boxes kept of one image, K known classes, C
box features, (c, h, w) pooled maps. Label K is 'unknown'.
"""

from __future__ import annotations

from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.det.models import OODRoIHead
from mmood.det.models.roi_tools import build_part, progress
from mmood.registry import MODELS
from mmood.scores import Samples

from .box_tools import assigned_ious, merge_label
from .roi_batch import RoIBatch


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
            nothing would teach its own boxes. Scores get the K known logits.
        open_set_losses: configs, by any name, of modules that take a
            `mmood.losses.RoIBatch` and return a dict of losses. They are told
            ``num_classes`` = ``num_known`` = K and ``in_channels`` = C.
        rejects: whether boxes are unknown where the first score exceeds
            ``reject_above``.
        reject_above: None: the calibrated ``ood_threshold``, and as long as
            there is none, no box.

    Scores that have ``observe``, such as `EnergyWeibulls`, get the batches
    too. Raises ValueError for either without an ``unknown_class``, and for
    one with boxes by class.
    """

    def __init__(
        self,
        *args,
        unknown_class: bool = False,
        open_set_losses: dict[str, dict] | None = None,
        rejects: bool = False,
        reject_above: float | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        # Both get batches with a column for the unknown.
        names = [type(score).__name__ for score in self._learning()]
        needing = [*(open_set_losses or {}), *names]
        if needing and not unknown_class:
            raise ValueError(
                f'{needing} of open_set_losses and scores need a class for '
                'the unknown: set unknown_class=True and '
                'bbox_head.num_classes to one more than the known classes'
            )
        if unknown_class and not self.bbox_head.reg_class_agnostic:
            raise ValueError(
                'unknown_class=True needs bbox_head.reg_class_agnostic=True, '
                'got False: no object teaches the boxes of the unknown class'
            )
        self.unknown_class = unknown_class
        self.rejects, self.reject_above = rejects, reject_above
        self.num_known = self.num_classes - unknown_class
        sizes = dict(
            num_classes=self.num_known,
            num_known=self.num_known,
            in_channels=self.channels,
        )
        self.open_set_losses = nn.ModuleDict(
            {
                name: build_part(cfg, **sizes)
                for name, cfg in (open_set_losses or {}).items()
            }
        )

    # ----------------------------------------------------------- training
    def _ood_losses(
        self,
        x: tuple,
        sampling_results: list,
        results: dict,
        features: Tensor,
        flagged: Tensor,
    ) -> dict[str, Tensor]:
        losses = super()._ood_losses(
            x, sampling_results, results, features, flagged
        )
        learning = self._learning()
        if self.open_set_losses or learning:
            batch = self._batch(sampling_results, results, features)
            for part in self.open_set_losses.values():
                losses.update(part(batch))
            for score in learning:
                score.observe(batch)
        return losses

    def _learning(self) -> list[nn.Module]:
        """Scores that learn from the batches."""
        return [s for s in self.scores.children() if hasattr(s, 'observe')]

    def _batch(
        self, sampling_results: list, results: dict, features: Tensor
    ) -> RoIBatch:
        logits = results['cls_score']
        targets = self.bbox_head.get_targets(sampling_results, self.train_cfg)
        return RoIBatch(
            logits=logits,
            labels=targets[0],
            features=features,
            ious=assigned_ious(sampling_results),
            inputs=results['bbox_feats'],
            view=lambda maps: self.bbox_head(maps)[0],
            progress=progress(),
            iteration=MessageHub.get_current_instance().get_info('iter', 0),
        )

    def samples_of(self, features: Tensor, logits: Tensor) -> Samples:
        """Features (n, C) and logits (n, K + 2 or K + 1), of the known."""
        samples = super().samples_of(features, logits)
        samples.logits = samples.logits[:, : self.num_known]
        if samples.numerators is not None:
            samples.numerators = samples.numerators[:, : self.num_known]
        return samples

    # ------------------------------------------------------------ testing
    def _keep(
        self, raw: InstanceData, cfg: dict, *parts: Tensor
    ) -> InstanceData:
        result = super()._keep(raw, cfg, *parts)
        if self.keeps_features or not (self.unknown_class or self.rejects):
            return result
        if self.rejects:
            is_ood = result.is_ood
            if self.reject_above is not None:
                is_ood = result.ood_scores > self.reject_above
            result.labels = result.labels.masked_fill(is_ood, self.num_known)
            result = merge_label(result, self.num_known, cfg.nms)
        result.is_ood = result.labels == self.num_known
        return result
