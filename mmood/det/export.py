"""A detector as an ONNX graph: one picture in, boxes with OOD scores out.

Shapes: n candidates, m boxes at most, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from mmdet.models.detectors import (
    BaseDetector,
    SingleStageDetector,
    TwoStageDetector,
)
from torch import Tensor, nn

from mmood.deploy import ops
from mmood.deploy.export import Plan
from mmood.deploy.pipeline import describe, multiples
from mmood.deploy.trace import choose_scores, known_thresholds, traceable
from mmood.hooks.scored import scored
from mmood.scores import Samples

from .models.adapter import BoxAdapter

MOST = 1000  # boxes of a picture where the test config has no limit


class Found(NamedTuple):
    """What a head proposes: boxes (n, 4), scores (n,), labels (n,).

    Candidates that do not count have a score below 0. ``samples_of`` makes
    the `Samples` of some places among them.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    samples_of: Callable[[Tensor], Samples]


class DetectorGraph(nn.Module):
    """Boxes, labels, class scores and OOD scores of a picture (1, 3, H, W).

    ``inner`` (2,) is the picture's size without the padding. ``find`` makes
    `Found` of the neck's maps and ``inner``; ``cfg`` is the test config that
    the NMS goes by. With a ``threshold`` there is also ``is_ood`` of the
    first score.
    """

    def __init__(
        self,
        model: BaseDetector,
        names: Sequence[str],
        find: Callable[[BaseDetector, tuple, Tensor], Found],
        cfg: dict,
        threshold: float | None,
    ) -> None:
        super().__init__()
        self.model, self.names, self.threshold = model, names, threshold
        self.find, self.iou = find, check_nms(cfg)
        self.agnostic = bool(cfg['nms'].get('class_agnostic'))
        limit = cfg.get('max_per_img', -1)
        self.limit = limit if limit > 0 else MOST

    def forward(self, image: Tensor, inner: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.extract_feat(image)
        found = self.find(self.model, maps, inner)
        groups = found.labels * 0 if self.agnostic else found.labels
        places, count = grouped_nms(
            found.boxes, found.scores, groups, self.iou, self.limit
        )
        head = cast(BoxAdapter, scored(self.model))
        by_name = head.scores(found.samples_of(places), self.names)
        values = [by_name[name].float() for name in self.names]
        boxes, scores, labels = (part[places] for part in found[:3])
        outputs = [boxes, labels, scores, *values]
        if self.threshold is not None:
            outputs.append(values[0] > self.threshold)
        return tuple(ops.first(part, count) for part in outputs)


def check_nms(cfg: dict) -> float:
    """The IoU of the NMS of a test config.

    Raises ValueError for another NMS and for what the graph has not.
    """
    nms = cfg.get('nms') or {}
    if nms.get('type', 'nms') != 'nms' or 'iou_threshold' not in nms:
        raise ValueError(
            f'test_cfg.nms={dict(nms)} cannot be exported: the graph has '
            "dict(type='nms', iou_threshold=...)"
        )
    if cfg.get('min_bbox_size', -1) > 0:
        raise ValueError(
            f'test_cfg.min_bbox_size={cfg["min_bbox_size"]} cannot be '
            'exported, as it is in pixels of the original picture: set 0'
        )
    return nms['iou_threshold']


def grouped_nms(
    boxes: Tensor, scores: Tensor, groups: Tensor, iou: float, limit: int
) -> tuple[Tensor, Tensor]:
    """`ops.nms` in which boxes of different groups (n,) never overlap."""
    boxes = torch.where(scores[:, None] >= 0, boxes, 0)
    shift = groups.to(boxes) * (boxes.max() + 1)
    return ops.nms(boxes + shift[:, None], scores, iou, limit)


def clipped(boxes: Tensor, inner: Tensor) -> Tensor:
    """Boxes (n, 4) within a picture of the size ``inner``, (h, w)."""
    limit = inner.flip(0).repeat(2).to(boxes)
    return torch.minimum(boxes.clamp(min=0), limit)


def of_boxes(scores: Tensor, boxes: Tensor) -> Tensor:
    """Scores (n,) that do not count where a box (n, 4) has no area."""
    is_box = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
    return torch.where(is_box, scores, -1.0)


def check_coder(coder: object) -> None:
    """Raises ValueError for a box coder that clips in a way of its own."""
    known = ('DeltaXYWHBBoxCoder', 'DistancePointBBoxCoder')
    if type(coder).__name__ not in known:
        raise ValueError(
            f'the box coder {type(coder).__name__} cannot be exported: the '
            f'graph has {" and ".join(known)}'
        )


def plan(
    model: BaseDetector,
    pipeline: Sequence[dict],
    names: Sequence[str] | None = None,
) -> Plan:
    """How a detector is exported, with these scores, or all of them.

    ``pipeline``: the configs of the test pipeline. Raises ValueError for a
    detector that cannot be exported, with the reason.
    """
    head = cast('BoxAdapter | None', scored(model))
    if head is None:
        raise ValueError(
            'the detector has no scores: give it an mmood.OODHead or an '
            'mmood.OODRoIHead'
        )
    names, left_out = choose_scores(head.scores, names)
    about = describe(pipeline, model.data_preprocessor)
    thresholds = known_thresholds(head.scores, names)
    threshold = thresholds.get(names[0])
    counting = float(head.score_threshold)
    about.update(
        task='detection',
        classes=list(model.dataset_meta['classes']),
        scores=names,
        thresholds=thresholds,
        score_threshold=None if math.isnan(counting) else counting,
    )
    model = traceable(model, multiples(about))
    find, cfg = _finder(model)
    graph = DetectorGraph(model, names, find, cfg, threshold)
    outputs = ['boxes', 'labels', 'scores']
    outputs += [f'ood_scores_{name}' for name in names]
    outputs += [] if threshold is None else ['is_ood']
    return Plan(graph, ('image', 'inner'), outputs, about, left_out)


def _finder(model: BaseDetector) -> tuple[Callable, dict]:
    """What makes `Found`, and the test config of its NMS.

    Raises ValueError for a detector of another kind.
    """
    if isinstance(model, TwoStageDetector):
        from .export_roi import check as check_roi
        from .export_roi import find_rois

        check_roi(model)
        return find_rois, model.roi_head.test_cfg
    if isinstance(model, SingleStageDetector):
        from .export_dense import check, find_priors

        check(model.bbox_head)
        return find_priors, model.bbox_head.test_cfg
    raise ValueError(
        f'{type(model).__name__} cannot be exported: no graph is written for '
        'the queries of a DETR; one-stage detectors and Faster R-CNN can'
    )
