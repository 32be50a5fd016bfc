"""RoIs and their objects, NMS of one label."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData

from det_helpers import build_head, near_and_far, painted, sampled
from mmood.det.models.open_set_boxes import assigned_ious, merge_label


def test_ious_are_those_with_the_assigned_objects():
    head, data = build_head(), painted([3, 1], [], [2, 0, 0])
    results = sampled(head, near_and_far(data), data)
    found = assigned_ious(results)
    rois = bbox2roi([r.priors for r in results]).numpy()
    expected = []
    for roi in rois:
        objects = data[int(roi[0])].gt_instances.bboxes.numpy()
        best = max((iou(roi[1:], box) for box in objects), default=0.0)
        expected.append(best if best >= 0.5 else 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert 0 < (found > 0).sum() < len(found)


def iou(a, b):
    size = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inner = np.prod(size.clip(min=0))
    return inner / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner)


def test_nms_of_one_label_leaves_the_others():
    result = InstanceData(
        bboxes=torch.tensor(
            [
                [0.0, 0, 10, 10],
                [0, 0, 10, 9],
                [0, 0, 10, 8],
                [20, 20, 30, 30],
                [0, 0, 10, 5.1],
            ]
        ),
        scores=torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]),
        labels=torch.tensor([1, 2, 1, 2, 2]),
    )
    nms = dict(type='nms', iou_threshold=0.5)
    kept = merge_label(result, 2, nms).scores
    torch.testing.assert_close(kept, torch.tensor([0.9, 0.8, 0.7, 0.6]))
    assert nms == dict(type='nms', iou_threshold=0.5)
    for label in (1, 5):
        expected = [0, 1, 3, 4] if label == 1 else range(5)
        kept = merge_label(result, label, nms).scores
        assert torch.equal(kept, result.scores[list(expected)])
    assert len(merge_label(result[:0], 2, nms)) == 0
