"""What the metrics of boxes take from a sample and leave in a folder."""

from __future__ import annotations

import json
import os

import numpy as np

from mmood.metrics.voc import ImageDetections
from mmood.ops import atomic_write


def image_detections(sample: dict, rounds: bool = False) -> ImageDetections:
    """Predictions and annotations of an image, in its original pixels.

    ``ignore_flag`` of an annotation makes it difficult. ``rounds``: scores
    to three decimals and coordinates to one, as in result files of VOC.
    Raises ValueError if the sample has no annotations.
    """
    if 'instances' not in sample:
        raise ValueError(
            "the samples have no 'instances': test on datasets of mmood, "
            "which carry them, or add 'instances' to meta_keys of the "
            'packing transform'
        )
    pred, objects = sample['pred_instances'], sample['instances']
    boxes = pred['bboxes'].double().cpu().numpy()
    scores = pred['scores'].double().cpu().numpy()
    if rounds:
        boxes, scores = boxes.round(1), scores.round(3)
    gt_boxes = np.array([o['bbox'] for o in objects], dtype=np.float64)
    return ImageDetections(
        boxes,
        scores,
        pred['labels'].cpu().numpy(),
        gt_boxes.reshape(-1, 4),
        np.array([o['bbox_label'] for o in objects], dtype=np.int64),
        np.array([o.get('ignore_flag', 0) for o in objects], dtype=bool),
    )


def class_names(dataset_meta: dict | list) -> tuple[str, ...]:
    """The classes that labels count.

    Raises ValueError for the metainfo of several sets.
    """
    if isinstance(dataset_meta, list):
        raise ValueError(
            'the ConcatDataset has the metainfo of several sets: give it '
            "ignore_keys=['classes', 'palette'] and the ID set first"
        )
    return tuple(dataset_meta['classes'])


def write_metrics(out_dir: str, metrics: dict[str, float]) -> None:
    """Write ``metrics.json``, whole or not at all."""
    with atomic_write(os.path.join(out_dir, 'metrics.json')) as file:
        json.dump({k: float(v) for k, v in metrics.items()}, file)
