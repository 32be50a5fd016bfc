"""What the metrics of boxes take from a sample and leave in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from mmood.metrics.voc import ImageDetections
from mmood.ops import raised, stated_origin, write_json
from mmood.ops.coco_records import shorten

SCORES = 'ood_scores'


def origin_of(
    sample: dict, dataset_meta: dict | list, of_all_sets: bool = False
) -> str:
    """The name of the set that a sample is of.

    Raises ValueError for a sample that does not say it, and if the labels
    of the ID sets (or ``of_all_sets``) are numbered by other classes than
    those that the metric is given.
    """
    origin = stated_origin(sample, sample.get('img_id'))
    classes = class_names(dataset_meta)
    own = tuple(sample.get('classes', classes))
    if own != classes and (origin == 'id' or of_all_sets):
        raise ValueError(
            f'the metric is given the classes {shorten(list(classes))}, '
            'which are those of the first set, and the images of the set '
            f'{origin!r} have {shorten(list(own))}: put the ID set first in '
            'the ConcatDataset, and give the sets the same metainfo.classes'
        )
    return origin


def image_detections(sample: dict, rounds: bool = False) -> ImageDetections:
    """Predictions and annotations of an image, in its original pixels.

    ``ignore_flag`` of an annotation makes it difficult. ``rounds``: scores
    to three decimals and coordinates to one, as in result files of VOC.
    Raises ValueError if the sample has no annotations.
    """
    objects = annotated_objects(sample)
    pred = finite_predictions(sample)
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


def annotated_objects(sample: dict) -> list[dict]:
    """What is annotated in an image, in its original pixels.

    Raises ValueError if the sample does not carry it.
    """
    if 'instances' not in sample:
        raise ValueError(
            "the samples have no 'instances': test on datasets of mmood, "
            "which carry them, or add 'instances' to meta_keys of the "
            'packing transform'
        )
    return sample['instances']


def finite_predictions(sample: dict) -> dict:
    """Predictions of an image, in single precision at least.

    Numpy has no bfloat16, and some OOD scores differ in late digits only.
    Raises ValueError for boxes or confidences that are nan or infinite.
    """
    pred = {
        key: raised(value) if isinstance(value, Tensor) else value
        for key, value in sample['pred_instances'].items()
    }
    for key in ('bboxes', 'scores', 'max_class_scores'):
        if key in pred and not pred[key].isfinite().all():
            raise ValueError(
                f'the image {sample.get("img_id")!r} of the set '
                f'{sample.get("origin")!r} has nan or infinite {key}: the '
                'model diverged, or its weights are not those of the config'
            )
    return pred


def ood_scores(pred: Mapping) -> dict[str, np.ndarray]:
    """OOD scores (n,) of predicted boxes by name.

    Without a name: the one that ``is_ood`` goes by. Fields have no order.
    """
    return {
        key[len(SCORES) + 1 :]: raised(pred[key]).cpu().numpy()
        for key in pred
        if key == SCORES or key.startswith(f'{SCORES}_')
    }


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


def write_metrics(out_dir: str, metrics: Mapping[str, float]) -> None:
    """Write ``metrics.json``, with null for what is nan."""
    values = {k: float(v) for k, v in metrics.items()}
    write_json(os.path.join(out_dir, 'metrics.json'), values)
