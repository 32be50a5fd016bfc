"""What an ONNX graph makes of the outputs of a one-stage head.

Shapes: L levels, A priors of a position, n priors of a level, k of them that
are kept, K classes (K + 1 logits with background).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import GFLHead, YOLOXHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import SingleStageDetector
from torch import Tensor, nn

from mmood.scores import Samples

from .export import Found, check_coder, clipped, of_boxes
from .models.dense import DenseAdapter
from .models.places import rows_at
from .models.roi_tools import record_calls

_HOOKS = ('predict_by_feat', '_predict_by_feat_single', '_bbox_post_process')


class Level(NamedTuple):
    """What a level says of each of its priors.

    logits (n, K + extra), deltas (n, .), priors (n, .), factors (n,) or None.
    """

    logits: Tensor
    deltas: Tensor
    priors: Tensor
    factors: Tensor | None


def check(head: nn.Module) -> None:
    """Raises ValueError for a head whose boxes are made in another way."""
    if not isinstance(head, DenseAdapter):
        raise ValueError(
            f'{type(head).__name__} cannot be exported: of DETR heads the '
            'graph has none, only one-stage heads and that of Faster R-CNN'
        )
    owners = _owners(head)
    if _OF_YOLOX not in owners:
        if owners not in (_OF_BASE, _OF_GFL):
            raise ValueError(
                f'{type(head).__name__} cannot be exported: it makes its '
                'boxes in a way of its own; heads that do it as '
                'BaseDenseHead, GFLHead or YOLOXHead can be'
            )
        check_coder(head.bbox_coder)
        if head.test_cfg.get('nms_pre', -1) < 1:
            raise ValueError(
                'test_cfg.nms_pre must be set, 1000 say, for the graph to '
                f'have a size, got {head.test_cfg.get("nms_pre")}'
            )


def _owners(head: DenseAdapter) -> tuple[type, ...]:
    """The classes that the hooks of a head come from, apart from ours."""
    stock = [c for c in type(head).__mro__ if not issubclass(c, DenseAdapter)]
    stock = [c for c in stock if not issubclass(DenseAdapter, c)]
    return tuple(next(c for c in stock if name in vars(c)) for name in _HOOKS)


_OF_BASE = (BaseDenseHead,) * 3
_OF_GFL = (BaseDenseHead, GFLHead, BaseDenseHead)
_OF_YOLOX = YOLOXHead


def find_priors(
    model: SingleStageDetector, maps: Sequence[Tensor], inner: Tensor
) -> Found:
    """The best priors of each level, or all of a YOLOX head."""
    head: DenseAdapter = model.bbox_head
    with record_calls(*set(head._layers)) as calls:
        outputs = head(tuple(maps))
    seen = {id(output): x for x, output in calls}
    logits = [x[0] for x in outputs[0]]
    features = [seen[id(x)][0] for x in outputs[0] if head._layers]
    make = _all if isinstance(head, YOLOXHead) else _best
    boxes, scores, labels, places = make(head, _levels(head, outputs))
    if make is _best and head.bbox_coder.clip_border:
        boxes = clipped(boxes, inner)
    if make is _best and head.test_cfg.get('min_bbox_size', -1) >= 0:
        scores = of_boxes(scores, boxes)
    count = head._num_priors

    def samples_of(chosen: Tensor) -> Samples:
        at = places[chosen]
        found = rows_at(features, at, count) if features else None
        return head.samples_of(rows_at(logits, at, count, count), found)

    return Found(boxes, scores, labels, samples_of)


def _levels(head: DenseAdapter, outputs: Sequence) -> list[Level]:
    classes, deltas, *factors = outputs
    sizes = [x.shape[-2:] for x in classes]
    options = dict(with_stride=True) if isinstance(head, YOLOXHead) else {}
    priors = head.prior_generator.grid_priors(
        sizes, dtype=classes[0].dtype, device=classes[0].device, **options
    )
    factors = factors[0] if factors else [None] * len(classes)
    return [
        Level(
            _rows(a, head.cls_out_channels),
            _rows(b, b.shape[1] // head._num_priors),
            p,
            None if f is None else _rows(f, 1)[:, 0].sigmoid(),
        )
        for a, b, p, f in zip(classes, deltas, priors, factors)
    ]


def _rows(x: Tensor, width: int) -> Tensor:
    """(1, A c, h, w) -> (h w A, c)."""
    return x[0].permute(1, 2, 0).reshape(-1, width)


def _confidences(head: DenseAdapter, logits: Tensor) -> Tensor:
    is_sigmoid = head.scores.kind == 'sigmoid'
    p = logits.sigmoid() if is_sigmoid else logits.softmax(1)
    return p[:, : head.num_classes]


def _best(
    head: DenseAdapter, levels: Sequence[Level]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The ``nms_pre`` likeliest pairs of prior and class of each level.

    Boxes, scores, labels and places among all priors.
    """
    cfg, start, found = head.test_cfg, 0, []
    for level, stride in zip(levels, head.prior_generator.strides):
        p = _confidences(head, level.logits)
        p = torch.where(p > cfg.get('score_thr', 0), p, -1.0)
        # A small level is filled up with what does not count.
        p = F.pad(p.flatten(), (0, cfg['nms_pre']), value=-1.0)
        scores, pairs = p.topk(cfg['nms_pre'])
        pairs = torch.where(scores >= 0, pairs, 0)
        places = pairs // head.num_classes
        if level.factors is not None:
            factors = level.factors[places]
            scores = torch.where(scores >= 0, scores * factors, scores)
        deltas, priors = level.deltas[places], level.priors[places]
        if isinstance(head, GFLHead):
            deltas = head.integral(deltas) * stride[0]
            priors = head.anchor_center(priors)
        boxes = head.bbox_coder.decode(priors, deltas, max_shape=None)
        labels = pairs % head.num_classes
        found.append((boxes, scores, labels, places + start))
        # Not by len(), which would make it a constant of the graph.
        start += level.priors.shape[0]
    boxes, scores, labels, places = map(torch.cat, zip(*found))
    return boxes, scores, labels, places


def _all(
    head: DenseAdapter, levels: Sequence[Level]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `_best`, all priors of all levels with their likeliest class."""
    logits, deltas, priors, factors = map(torch.cat, zip(*levels))
    scores, labels = _confidences(head, logits).max(1)
    scores = scores * factors
    scores = torch.where(scores >= head.test_cfg.score_thr, scores, -1.0)
    boxes = head._bbox_decode(priors, deltas[None])[0]
    places = torch.arange(labels.shape[0], device=labels.device)
    return boxes, scores, labels, places
