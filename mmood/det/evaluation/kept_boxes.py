"""The boxes of a test that count, and their measures on each set.

Shapes: n detections of an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from mmood.metrics import (
    id_quantile_threshold,
    object_recall,
    ood_metrics,
)

from .records import annotated_objects, finite_predictions, ood_scores

_OF_BOXES = ('boxes', 'own', 'labels')
_OF_OBJECTS = ('objects', 'object_labels', 'is_crowd')


def counting_boxes(
    own: Tensor | np.ndarray,
    best: Tensor | np.ndarray,
    threshold: float,
    protocol: str = 'vos',
) -> Tensor | np.ndarray:
    """Which predicted boxes (n,) an evaluation by that protocol counts.

    Those whose RoI reaches the threshold with its ``best`` class; for
    ``dreambox`` those whose ``own`` confidence is above it.
    """
    return own > threshold if protocol == 'dreambox' else best >= threshold


def box_record(sample: dict, origin: str, annotated: bool = False) -> dict:
    """What the OOD measures need of one image, as numpy arrays.

    Objects of an ID image only if they are to be ``annotated``. Raises
    ValueError if its predictions have no OOD score.
    """
    pred = finite_predictions(sample)
    if 'ood_scores' not in pred:
        raise ValueError(
            'predictions have no OOD score: give the config an ood block '
            'with scores, or set model.roi_head.type to mmood.OODRoIHead, '
            'model.bbox_head.type to mmood.OODHead'
        )
    is_read = annotated or origin != 'id'
    objects = annotated_objects(sample) if is_read else []
    boxes = [o['bbox'] for o in objects]
    return dict(
        origin=origin,
        source=sample.get('ann_file'),
        path=sample.get('img_path'),
        classes=sample.get('classes', ()),
        scores=ood_scores(pred),
        boxes=pred['bboxes'].cpu().numpy(),
        own=pred['scores'].cpu().numpy(),
        best=pred['max_class_scores'].cpu().numpy(),
        labels=pred['labels'].cpu().numpy(),
        objects=np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
        object_labels=np.array([o['bbox_label'] for o in objects], int),
        is_crowd=np.array([o.get('ignore_flag', 0) for o in objects], bool),
    )


def by_origin(
    records: Sequence[dict], threshold: float, protocol: str
) -> dict[str, dict]:
    """Boxes that count and objects, per set.

    ``images``: those of each image, with its ``path``; ``boxes``,
    ``objects`` (crowds apart) and ``per_image``, the scores by name: the
    same as lists over images; ``scores``: by name, of all images in a row;
    ``classes``: the names of the objects' labels.
    """
    sets: dict[str, dict] = {}
    for record in records:
        kept = counting_boxes(
            record['own'], record['best'], threshold, protocol
        )
        part = sets.setdefault(
            record['origin'],
            dict(
                classes=record['classes'],
                images=[],
                boxes=[],
                objects=[],
                per_image={k: [] for k in record['scores']},
            ),
        )
        image = {k: record[k] for k in ('path', *_OF_OBJECTS)}
        image.update({k: record[k][kept] for k in _OF_BOXES})
        part['images'].append(image)
        part['boxes'].append(image['boxes'])
        part['objects'].append(image['objects'][~image['is_crowd']])
        for name, scores in record['scores'].items():
            part['per_image'][name].append(scores[kept])
    for part in sets.values():
        part['scores'] = {
            name: np.concatenate(scores)
            for name, scores in part['per_image'].items()
        }
    return dict(sorted(sets.items(), key=lambda item: item[0] != 'id'))


def threshold_at(id_scores: np.ndarray, tpr: float) -> float:
    """`id_quantile_threshold`, nan where a score is."""
    if np.isnan(id_scores).any():
        return float('nan')
    return id_quantile_threshold(id_scores, tpr)


def ranking_measures(
    id_scores: np.ndarray, ood_scores: np.ndarray, protocol: str, tpr: float
) -> dict[str, float]:
    """`ood_metrics`, nan where a score is."""
    if np.isnan(id_scores).any() or np.isnan(ood_scores).any():
        return dict.fromkeys(('FPR95', 'AUROC', 'AUPR'), float('nan'))
    return ood_metrics(id_scores, ood_scores, protocol, tpr)


def measure(
    id_scores: np.ndarray,
    kept: dict,
    name: str,
    protocol: str,
    tpr: float,
    gamma: float,
) -> dict[str, float]:
    """The measures of a score on a set, all shares in [0, 1].

    ``gamma`` is the score's threshold. A score that is nan for some box
    leaves ``recall`` alone, which does not depend on it.
    """
    scores = kept['scores'][name]
    row = ranking_measures(id_scores, scores, protocol, tpr)
    row['recall'] = object_recall(kept['boxes'], kept['objects'])
    row['flagged'] = float('nan')
    if not np.isnan(gamma) and not np.isnan(scores).any():
        flagged = [
            boxes[values > gamma]
            for boxes, values in zip(kept['boxes'], kept['per_image'][name])
        ]
        row['flagged'] = object_recall(flagged, kept['objects'])
    return row


def nan_notes(sets: dict[str, dict]) -> list[str]:
    """Which scores are nan for how many boxes, a sentence each."""
    return [
        f'the score {name} is nan for {np.isnan(scores).sum()} of '
        f'{len(scores)} boxes of the set {origin!r}: its measures are nan '
        + ('on every set' if origin == 'id' else 'there')
        for origin, kept in sets.items()
        for name, scores in kept['scores'].items()
        if name and np.isnan(scores).any()
    ]
