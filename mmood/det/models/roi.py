"""What a RoI head is given so that its boxes say how unknown they are.

Shapes: R RoIs of all images, N of them on known objects, n boxes kept of one
image, K known classes, C box features, (c, h, w) pooled maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor

from mmood.losses import Batch, ood_losses
from mmood.necks.pyramid import collect_losses
from mmood.scores import Samples
from mmood.scores.classifier import linear_of, why_not_linear

from .adapter import BoxAdapter
from .growing_linear import GrowingLinear
from .parents import RoIHead
from .roi_tools import (
    Step,
    batch_labels,
    check_heads,
    jittered,
    last_of,
    maps_of,
    misfit,
    record_calls,
    take_flagged,
)


class RoIAdapter(BoxAdapter, RoIHead):
    """OOD scores at test and OOD losses in training, before a RoI head.

    What boxes get: see `BoxAdapter`. Masks are the parent's too.

    Args:
        scores: of each score its name or config, see `ScoreSet`.
        losses: configs of `OODLoss` modules, which see a `Batch` of RoIs.
        outliers: config of an `OutlierSource`; None: no loss needs any.

    Objects that an `OODFlagCocoDataset` flags OOD take no part in class, box
    and mask losses, nor in their averages; they join the outliers.

    Raises ValueError for box heads without a linear classifier ``fc_cls``
    or with different numbers of classes, and for losses, scores and outliers
    that do not go together.
    """

    collects_losses = True

    def __init__(
        self,
        *args,
        scores: Sequence[str | dict] = ('energy',),
        losses: Sequence[dict] = (),
        outliers: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        check_heads(self.bbox_head)
        self.channels = self.box_head.fc_cls.weight.shape[1]
        reason = why_not_linear(self.box_head.fc_cls)
        self.add_scores(
            scores,
            losses,
            outliers,
            channels=self.channels,
            missing=dict(classifier=reason),
        )
        self._reads_inputs = any(
            'inputs' in self.scores.reads(name) for name in self.scores.names
        )
        self._misfit: str | None = None  # of a loaded classifier
        self._step: Step | None = None

    @property
    def box_head(self) -> BBoxHead:
        """The box head that has the last word."""
        return last_of(self.bbox_head)

    @property
    def num_classes(self) -> int:
        """K."""
        return self.box_head.num_classes

    def samples_of(
        self, features: Tensor, logits: Tensor, inputs: Tensor | None = None
    ) -> Samples:
        """Features (n, C), logits (n, K + extra) and what they are made of."""
        layer, classes = self.box_head.fc_cls, self.num_classes
        numerators = None
        if hasattr(layer, 'numerators'):
            numerators = layer.numerators(features)[:, :classes]
        return Samples(
            logits=logits[:, :classes],
            features=features,
            numerators=numerators,
            inputs=inputs,
            view=self.view,
            classifier=linear_of(layer, classes),
        )

    def view(self, inputs: Tensor) -> Samples:
        """What the box head makes of pooled maps (n, c, h, w)."""
        with record_calls(self.box_head.fc_cls) as calls:
            self.box_head(inputs)
        features, logits = calls[0]
        return self.samples_of(features, logits, inputs)

    def pool(self, maps: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Pooled maps (R, c, h, w) of RoIs (R, 5), the box head's inputs."""
        extractor: BaseRoIExtractor = last_of(self.bbox_roi_extractor)
        pooled = extractor(maps[: extractor.num_inputs], rois)
        return self.shared_head(pooled) if self.with_shared_head else pooled

    def loss(
        self, x: tuple, rpn_results_list: list, batch_data_samples: list
    ) -> dict[str, Tensor]:
        self._misfit = None
        losses = super().loss(x, rpn_results_list, batch_data_samples)
        return {**losses, **self.ood_losses(x)}

    def ood_losses(self, x: tuple) -> dict[str, Tensor]:
        """The neck's losses, and those of the step that `bbox_loss` made."""
        step, self._step = self._step, None
        losses = collect_losses(x)
        if self.losses:
            if step is None:
                raise RuntimeError(
                    f'{type(self).__name__} has losses, but its parent made '
                    'no step of them: it must call bbox_loss first'
                )
            batch = self.batch_of(x, step)
            losses.update(ood_losses(batch, self.losses, self.outliers))
        return losses

    def batch_of(self, x: tuple, step: Step) -> Batch:
        """The RoIs of a step that are not on flagged objects."""
        found = step.sampling_results
        rois = bbox2roi([res.pos_priors for res in found])
        hub = MessageHub.get_current_instance()
        batch = Batch(
            logits=step.results['cls_score'],
            labels=batch_labels(found),
            features=step.features,
            num_classes=self.num_classes,
            classify=self.box_head.fc_cls,
            inputs=step.results['bbox_feats'],
            view=self.view,
            look=lambda *of: self.view(self.pool(maps_of(x, *of), rois)),
            jitter=lambda: self.pool(x, jittered(rois)),
            iteration=hub.get_info('iter', 0),
            max_iters=hub.get_info('max_iters'),
        )
        flagged = step.flagged.rois
        if len(flagged) and self.outliers and self.outliers.is_active(batch):
            batch.flagged = self.view(self.pool(x, flagged))
        return batch

    def _without_flagged(
        self, bbox_loss: Callable, head: BBoxHead, x: tuple, found: list
    ) -> Step:
        """The parent's losses of all RoIs but those on flagged objects.

        ``found`` are the sampling results, changed in place: a mask head
        learns from them too.
        """
        flagged = take_flagged(found)
        with record_calls(head.fc_cls) as calls:
            results = bbox_loss(x, found)
        step = self._step = Step(found, results, calls[0][0], flagged)
        return step

    def predict_bbox(
        self,
        x: tuple,
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: ConfigDict | None,
        rescale: bool = False,
        **kwargs,
    ) -> list[InstanceData]:
        if self._misfit:
            raise ValueError(self._misfit)
        head = self.box_head
        sizes = [len(result) for result in rpn_results_list]
        with record_calls(head) as pooled, record_calls(head.fc_cls) as calls:
            results = super().predict_bbox(
                x, batch_img_metas, rpn_results_list, None, rescale, **kwargs
            )
            if not calls:  # no RoI in any image
                head(self.pool(x, x[0].new_zeros((0, 5))))
        if rcnn_test_cfg is None:
            return results
        parts = (part.split(sizes) for part in (*calls[0], pooled[0][0]))
        return [
            self._keep(result, rcnn_test_cfg, *part)
            for result, *part in zip(results, *parts)
        ]

    def _keep(
        self,
        raw: InstanceData,
        cfg: ConfigDict,
        features: Tensor,
        logits: Tensor,
        inputs: Tensor,
    ) -> InstanceData:
        """NMS of one image's RoIs; each kept box takes its RoI's scores."""
        dets, labels, inds = multiclass_nms(
            raw.bboxes,
            raw.scores,
            cfg.score_thr,
            cfg.nms,
            cfg.max_per_img,
            return_inds=True,
            box_dim=4,
        )
        # An index counts (RoI, class) pairs, row by row.
        rois = inds // (raw.scores.shape[1] - 1)
        result = InstanceData(
            bboxes=dets[:, :4], scores=dets[:, 4], labels=labels
        )
        result.max_class_scores = raw.scores[rois, :-1].amax(1)
        samples = self.samples_of(
            features[rois],
            logits[rois],
            inputs[rois] if self._reads_inputs else None,
        )
        return self.judge(result, samples)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Remember a classifier that did not fit; see `predict_bbox`.

        Fine-tuning from a checkpoint of other classes, or of another kind of
        head, is fine. Predicting with the untrained classifier that this
        leaves behind is not, and MMEngine only warns of it.
        """
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        own = self.box_head.fc_cls.weight
        name = next(n for n, p in self.named_parameters() if p is own)
        self._misfit = misfit(state_dict, prefix, name, own, 'bbox_head.')
        layer, given = self.box_head.fc_cls, state_dict.get(prefix + name)
        if isinstance(layer, GrowingLinear) and layer.knows(given):
            self._misfit = None
