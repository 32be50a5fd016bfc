"""What an ONNX graph makes of proposals, as Faster R-CNN does.

Shapes: N proposals at most, K classes, L levels, maps (1, C, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.ops import roi_align as mmcv_roi_align
from mmdet.models.dense_heads import RPNHead
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from mmood.scores import Samples

from .export import (
    Found,
    check_coder,
    check_nms,
    clipped,
    grouped_nms,
    of_boxes,
)
from .models.ood_rpn_head import OODRPNHead
from .models.roi_heads import OODRoIHead
from .models.roi_tools import record_calls


@torch.library.custom_op(
    'mmood::roi_align',
    mutates_args=(),
    schema='(Tensor[] maps, Tensor boxes, Tensor levels, float[] scales, '
    'int[] size, int ratio, bool aligned) -> Tensor',
)
def roi_align(
    maps: Sequence[Tensor],
    boxes: Tensor,
    levels: Tensor,
    scales: Sequence[float],
    size: Sequence[int],
    ratio: int,
    aligned: bool,
) -> Tensor:
    """Pooled maps (N, C, *size) of boxes (N, 4), of the level of each one."""
    rois = F.pad(boxes, (1, 0))
    pooled = boxes.new_zeros(len(boxes), maps[0].shape[1], *size)
    for level, (x, scale) in enumerate(zip(maps, scales)):
        here = levels == level
        pooled[here] = mmcv_roi_align(
            x, rois[here], tuple(size), scale, ratio, 'avg', aligned
        )
    return pooled


@roi_align.register_fake
def _(
    maps: Sequence[Tensor],
    boxes: Tensor,
    levels: Tensor,
    scales: Sequence[float],
    size: Sequence[int],
    ratio: int,
    aligned: bool,
) -> Tensor:
    return boxes.new_empty(boxes.shape[0], maps[0].shape[1], *size)


def check(model: TwoStageDetector) -> None:
    """Raises ValueError for a detector that is no Faster R-CNN of a kind."""
    head, rpn = model.roi_head, model.rpn_head
    if not isinstance(head, OODRoIHead):
        raise ValueError(
            f'{type(head).__name__} cannot be exported: of RoI heads '
            'mmood.OODRoIHead can, that of Faster R-CNN'
        )
    if type(rpn) not in (RPNHead, OODRPNHead) or rpn.test_cfg.nms_pre < 1:
        raise ValueError(
            f'{type(rpn).__name__} with nms_pre={rpn.test_cfg.nms_pre} cannot '
            'be exported: RPNHead with nms_pre >= 1 can'
        )
    extractor: SingleRoIExtractor = head.bbox_roi_extractor
    layers = extractor.roi_layers
    names = {type(layer).__name__ for layer in layers}
    modes = {getattr(layer, 'pool_mode', None) for layer in layers}
    if type(extractor) is not SingleRoIExtractor or (
        names != {'RoIAlign'} or modes != {'avg'}
    ):
        raise ValueError(
            f'{type(extractor).__name__} of {"/".join(sorted(names))} cannot '
            'be exported: SingleRoIExtractor of RoIAlign can'
        )
    check_coder(head.bbox_head.bbox_coder)
    check_coder(rpn.bbox_coder)
    check_nms(rpn.test_cfg)
    if head._misfit:
        raise ValueError(head._misfit)


def find_rois(
    model: TwoStageDetector, maps: Sequence[Tensor], inner: Tensor
) -> Found:
    """All pairs of proposal and class."""
    head: OODRoIHead = model.roi_head
    box_head, cfg = head.box_head, head.test_cfg
    proposals, count = _proposals(model.rpn_head, tuple(maps), inner)
    pooled = _pooled(head, maps, proposals)
    with record_calls(box_head.fc_cls) as calls:
        classes, deltas = box_head(pooled)
    features, logits = calls[0]
    raw = box_head.predict_by_feat(
        rois=(F.pad(proposals, (1, 0)),),
        cls_scores=(classes,),
        bbox_preds=(deltas,),
        batch_img_metas=[dict(img_shape=None)],
    )[0]
    number, known = len(proposals), head.num_classes
    boxes = raw.bboxes.reshape(number, -1, 4).expand(number, known, 4)
    boxes = boxes.reshape(-1, 4)
    if box_head.bbox_coder.clip_border:
        boxes = clipped(boxes, inner)
    scores = raw.scores[:, :known]
    is_real = torch.arange(number, device=count.device) < count
    counts = (scores > cfg.score_thr) & is_real[:, None]
    scores = torch.where(counts, scores, -1.0).flatten()
    labels = torch.arange(number * known, device=count.device) % known

    def samples_of(chosen: Tensor) -> Samples:
        at = chosen // known
        inputs = pooled[at] if head._reads_inputs else None
        return head.samples_of(features[at], logits[at], inputs)

    return Found(boxes, scores, labels, samples_of)


def _pooled(head: OODRoIHead, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    extractor: SingleRoIExtractor = head.bbox_roi_extractor
    layers = extractor.roi_layers
    maps = list(maps[: extractor.num_inputs])
    if len(maps) == 1:
        levels = torch.zeros_like(boxes[:, 0], dtype=torch.long)
    else:
        levels = extractor.map_roi_levels(F.pad(boxes, (1, 0)), len(maps))
    pooled = torch.ops.mmood.roi_align(
        maps,
        boxes,
        levels,
        [float(layer.spatial_scale) for layer in layers],
        list(layers[0].output_size),
        layers[0].sampling_ratio,
        bool(layers[0].aligned),
    )
    return head.shared_head(pooled) if head.with_shared_head else pooled


def _proposals(
    head: RPNHead, maps: tuple[Tensor, ...], inner: Tensor
) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4), best first, then anything, and their number (1,)."""
    cfg, found = head.test_cfg, []
    classes, deltas = head(maps)
    sizes = [x.shape[-2:] for x in classes]
    priors = head.prior_generator.grid_priors(
        sizes, dtype=classes[0].dtype, device=classes[0].device
    )
    for level, (a, b, anchors) in enumerate(zip(classes, deltas, priors)):
        logits = a[0].permute(1, 2, 0).reshape(-1, head.cls_out_channels)
        is_sigmoid = head.use_sigmoid_cls
        p = logits.sigmoid() if is_sigmoid else logits.softmax(1)
        p = F.pad(p[:, 0], (0, cfg.nms_pre), value=-1.0)
        scores, places = p.topk(cfg.nms_pre)
        places = torch.where(scores >= 0, places, 0)
        rows = b[0].permute(1, 2, 0).reshape(-1, 4)[places]
        boxes = head.bbox_coder.decode(anchors[places], rows, max_shape=None)
        found.append((boxes, scores, torch.full_like(places, level)))
    boxes, scores, levels = (torch.cat(part) for part in zip(*found))
    if head.bbox_coder.clip_border:
        boxes = clipped(boxes, inner)
    if cfg.get('min_bbox_size', -1) >= 0:
        scores = of_boxes(scores, boxes)
    iou, limit = cfg.nms['iou_threshold'], cfg.max_per_img
    places, count = grouped_nms(boxes, scores, levels, iou, limit)
    return boxes[places], count
