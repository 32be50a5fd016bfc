"""Samples of detectors with OOD scores, and a test on them."""

import torch

from mmood.registry import METRICS

CLASSES = ('cat', 'dog')


def sample(origin, img_id, boxes, confidence, scores, objects=(), labels=None):
    """What the evaluator gets for one image: a prediction and its set."""
    n = len(boxes)
    labels = torch.tensor(labels or [0] * n, dtype=torch.long)
    pred = dict(
        bboxes=torch.tensor(boxes, dtype=torch.float).reshape(-1, 4),
        scores=torch.tensor(confidence, dtype=torch.float),
        labels=labels,
        max_class_scores=torch.tensor(confidence, dtype=torch.float),
        ood_scores=torch.tensor(scores, dtype=torch.float),
        ood_scores_energy=torch.tensor(scores, dtype=torch.float),
    )
    return dict(
        pred_instances=pred,
        origin=origin,
        img_id=img_id,
        ori_shape=(48, 48),
        instances=[
            dict(bbox=list(box), bbox_label=0, ignore_flag=flag)
            for box, flag in objects
        ],
    )


def evaluate(ann, samples, **kwargs):
    metric = METRICS.build(
        dict(type='mmood.OODDetMetric', ann_file=str(ann), **kwargs)
    )
    metric.dataset_meta = dict(classes=CLASSES)
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))
