"""Small functions on boxes, for `OpenSetRoIHead`.

Shapes: R RoIs of all images, n boxes kept of one image.
"""

from __future__ import annotations

import torch
from mmcv.ops import batched_nms
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor


def assigned_ious(sampling_results: list) -> Tensor:
    """IoU in [0, 1] of RoIs (R,) with their objects, background 0.

    In the order of `mmdet.structures.bbox.bbox2roi`.
    """
    ious = []
    for res in sampling_results:
        known = bbox_overlaps(
            res.pos_priors, res.pos_gt_bboxes, is_aligned=True
        )
        ious += [known, known.new_zeros(len(res.neg_priors))]
    return torch.cat(ious)


def merge_label(result: InstanceData, label: int, nms: dict) -> InstanceData:
    """The boxes that are left after NMS among those of one label."""
    among = result.labels == label
    if not among.any():
        return result
    boxes = result[among]
    kept = batched_nms(boxes.bboxes, boxes.scores, boxes.labels, nms)[1]
    keep = ~among
    keep[among.nonzero().flatten()[kept]] = True
    return result[keep]
