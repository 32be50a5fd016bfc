"""A RoI head whose boxes say how unknown they are.

Shapes: n boxes kept of one image, K classes, C box features, (c, h, w)
pooled maps.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial

import torch
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmood.ops import Activity
from mmood.registry import MODELS
from mmood.scores import Samples, Thresholded, Thresholds

from .roi_losses import OUTLIERS, OODLosses
from .roi_tools import (
    build_part,
    check_outliers,
    check_start,
    correct_boxes,
    record_calls,
    take_outliers,
)
from .score_list import ScoreList


@MODELS.register_module()
class OODRoIHead(OODLosses, Thresholded, StandardRoIHead):
    """Stock RoI head + OOD scores at test + OOD losses in training.

    Boxes, class scores and labels are the parent's, to the bit. Each kept
    box also has ``ood_scores``, the first of ``scores`` (higher is more
    OOD), each score under ``ood_scores_<name>``, ``is_ood``, True where the
    first score exceeds ``ood_threshold``, and ``max_class_scores``, the
    largest class confidence of the box's RoI.

    Args:
        scores: see `ScoreList`.
        outliers: config of a module of `mmood.outliers` that makes outliers
            from the known objects' features (VOS, FFS, GAN); None: they come
            from the ``blurred`` maps of a `DFDDNeck`; ``'annotated'``:
            there are only those of the annotations.
        outlier_start_share, outlier_start_iter: when outliers begin to
            count, as a share of the training, in [0, 1], or an iteration.
        loss_uncertainty: config of the loss on known objects and outliers.
        loss_consistency: config of DFDD's loss on the ``deblurred`` maps.
        auxiliary: config of a further part that learns from the known
            objects and may bring an embedding and scores (SIREN, CSI).

    Objects that an `OODFlagCocoDataset` flags OOD take no part in class, box
    and mask losses, nor in their averages; they join the outliers of
    ``loss_uncertainty``.

    Buffers, nan until `mmood.hooks.CalibrateOODHook` fits them on ID data:
    ``ood_thresholds``, of each score by its name, keep 95 % of the ID boxes
    (``ood_threshold`` is that of the first score), ``score_threshold`` is
    the class confidence from which a box counts. Fitted scores have theirs.

    With ``keeps_features`` set, as while scores are fitted, boxes carry what
    the scores are made of, ``features`` (n, C), ``logits`` (n, K + 1) and
    ``inputs`` (n, c, h, w), instead of scores.
    """

    exact_buffers = ('ood_threshold', 'score_threshold')

    def __init__(
        self,
        *args,
        scores: Sequence[str | dict] = ('energy',),
        outliers: dict | str | None = None,
        outlier_start_share: float | None = None,
        outlier_start_iter: int | None = None,
        loss_uncertainty: dict | None = None,
        loss_consistency: dict | None = None,
        auxiliary: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        check_outliers(outliers, loss_uncertainty)
        check_start(outlier_start_share, outlier_start_iter)
        self.num_classes = self.bbox_head.num_classes
        self.channels = self.bbox_head.fc_cls.weight.shape[1]
        build = partial(build_part, num_classes=self.num_classes)
        self.outliers = outliers
        if outliers != 'annotated':
            self.outliers = build(outliers, channels=self.channels)
        self.outlier_start_share = outlier_start_share
        self.outlier_start_iter = outlier_start_iter
        self.loss_uncertainty = build(
            loss_uncertainty, in_channels=self.channels
        )
        if self.loss_uncertainty is not None:
            self.outlier_activity = Activity(OUTLIERS)
        self.loss_consistency = build(loss_consistency)
        self.auxiliary = build(auxiliary, in_channels=self.channels)
        self.scores = ScoreList(
            scores,
            num_classes=self.num_classes,
            channels=self.channels,
            auxiliary=self.auxiliary,
            trained=getattr(self.loss_uncertainty, 'scores', dict)(),
        )
        self.keeps_features = False
        self.ood_thresholds = Thresholds(
            self.scores.names, self.scores.arguments
        )
        self.register_buffer('score_threshold', torch.tensor(float('nan')))
        self._class_mismatch: str | bool | None = None

    def forget(self) -> None:
        """Count boxes of any confidence, as before the calibration."""
        self.score_threshold.fill_(float('nan'))

    # ----------------------------------------------------------- training
    def bbox_loss(self, x: tuple, sampling_results: list) -> dict:
        self._class_mismatch = None
        # From the caller's list too: a mask head learns from it.
        flagged = take_outliers(sampling_results)
        with record_calls(self.bbox_head.fc_cls) as calls:
            results = super().bbox_loss(x, sampling_results)
        losses = results['loss_bbox']
        if getattr(x, 'loss_deblur', None) is not None:
            losses['loss_deblur'] = x.loss_deblur
        features = calls[0][0]
        losses.update(
            self._ood_losses(x, sampling_results, results, features, flagged)
        )
        return results

    def view(self, inputs: Tensor) -> Samples:
        """What the box head makes of pooled maps (n, c, h, w)."""
        with record_calls(self.bbox_head.fc_cls) as calls:
            self.bbox_head(inputs)
        return self.samples_of(*calls[0])

    def samples_of(self, features: Tensor, logits: Tensor) -> Samples:
        """Features (n, C) and logits (n, K + 1) as the scores want them."""
        samples = Samples(logits=logits[:, :-1], features=features)
        if hasattr(self.bbox_head.fc_cls, 'numerators'):
            numerators = self.bbox_head.fc_cls.numerators(features)
            samples.numerators = numerators[:, :-1]
        return samples

    # ------------------------------------------------------------ testing
    def predict_bbox(
        self,
        x: tuple,
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: dict | None,
        rescale: bool = False,
    ) -> list[InstanceData]:
        if self._class_mismatch:
            raise ValueError(self._class_mismatch)
        head = self.bbox_head
        with record_calls(head) as pooled, record_calls(head.fc_cls) as calls:
            results = super().predict_bbox(
                x, batch_img_metas, rpn_results_list, None, rescale
            )
        if rcnn_test_cfg is None:
            return results
        sizes = [len(result) for result in rpn_results_list]
        if not calls:  # no RoI in any image
            none, size = x[0].new_zeros, head.roi_feat_size
            pooled = [(none((0, head.in_channels, *size)),)]
            calls = [
                (none((0, self.channels)), none((0, self.num_classes + 1)))
            ]
        parts = (part.split(sizes) for part in (pooled[0][0], *calls[0]))
        return [
            self._keep(result, rcnn_test_cfg, *part)
            for result, *part in zip(results, *parts)
        ]

    def _keep(
        self,
        raw: InstanceData,
        cfg: dict,
        inputs: Tensor,
        features: Tensor,
        logits: Tensor,
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
        rois = inds // self.num_classes
        result = InstanceData(
            bboxes=dets[:, :4], scores=dets[:, 4], labels=labels
        )
        result.max_class_scores = raw.scores[rois, :-1].amax(1)
        if self.keeps_features:
            result.inputs, result.features = inputs[rois], features[rois]
            result.logits = logits[rois]
            return result
        scores = self.scores(
            self.samples_of(features[rois], logits[rois]),
            inputs[rois],
            self.view,
        )
        first, result.ood_scores = next(iter(scores.items()))
        result.is_ood = result.ood_scores > self.ood_thresholds[first]
        for name, values in scores.items():
            result.set_field(values, f'ood_scores_{name}')
        return result

    # ------------------------------------------------------------ fitting
    @property
    def needs_fit(self) -> bool:
        """Whether a score wants statistics of ID training images."""
        return bool(self.scores.fitted)

    def start_fit(self) -> None:
        """Have the next predictions carry what the scores are fitted on."""
        self.keeps_features = True
        self.skip_unfitted(False)
        self.scores.reset()

    def update_fit(self, sample: DetDataSample) -> None:
        """Fit on an image's correct boxes: IoU >= 0.5, class as annotated."""
        if 'instances' not in sample:
            raise ValueError(
                f'{sample.get("img_path")} comes without its annotated '
                'boxes: the set to fit on must be an mmood.IDCocoDataset'
            )
        kept = sample.pred_instances
        mask = correct_boxes(kept, sample.instances)
        rank = torch.arange(len(kept), device=mask.device)
        key = zlib.crc32(str(sample.img_id).encode()) * 4096
        kept, keys = kept[mask], (key + rank)[mask]
        self.scores.update(
            self.samples_of(kept.features, kept.logits),
            kept.inputs,
            self.view,
            labels=kept.labels,
            keys=keys,
        )

    def finish_fit(self, classes: Sequence[str] | None = None) -> str:
        """Merge the ranks' parts, a collective call; what was done."""
        return self.scores.finish(classes)

    def end_fit(self) -> None:
        """Predict as usual again."""
        self.keeps_features = False

    def skip_unfitted(self, skip: bool) -> None:
        """Whether to predict without the scores whose fit has failed."""
        self.scores.skips_unfitted = skip

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raises ValueError if a score was fitted for others than these."""
        self.scores.check_classes(classes)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Remember a classifier that did not fit; see `predict_bbox`.

        Fine-tuning from a checkpoint of other classes is fine. Predicting
        with the untrained classifier that this leaves behind is not, and
        MMEngine only warns of it.
        """
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        weight = state_dict.get(f'{prefix}bbox_head.fc_cls.weight')
        own = self.bbox_head.fc_cls.weight
        if weight is not None:
            self._class_mismatch = weight.shape != own.shape and (
                f'the checkpoint has a classifier of shape '
                f'{tuple(weight.shape)}, the model one of {tuple(own.shape)} '
                '(classes + background): set num_classes to that of the '
                'checkpoint, or train before testing'
            )
