"""What `OODDetMetric` measures on demand, of the boxes that count.

``sets`` are those of `by_origin`: the ID set first. Shares in [0, 1].
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np

from mmood.metrics import (
    EmptySetWarning,
    ImageDetections,
    RelabelledBoxes,
    boxes_on_objects,
    calibration_metrics,
)

from .kept_boxes import ranking_measures

OF_SETS = ('AP_U', 'P_U', 'R_U', 'nOSE', 'AOSE', 'WI')
OF_ID = ('AP_K', 'P_K', 'R_K', 'AP_K_cost')
MATCHED = ('matched_FPR95', 'matched_AUROC', 'matched_AUPR')
COUNTS = ('AOSE',)


def open_set_measures(
    sets: Mapping[str, dict], thresholds: Mapping[str, float], num_known: int
) -> dict[str, float]:
    """`RelabelledBoxes` at each score's threshold, AOSE a count.

    ``<set>/<score>/...`` of each OOD set, ``id/<score>/...`` with
    ``AP_K_cost``, which is ``AP_K``, that of all boxes with their classes,
    less the one of those that are left. A threshold that is nan, and a score
    that is nan for a box, make it nan.
    """
    boxes = RelabelledBoxes(_images(sets, num_known), num_known)
    all_known = boxes.known_measures(np.zeros(len(boxes), dtype=bool))['AP_K']
    rows = {}
    for name, gamma in thresholds.items():
        scores = {o: kept['scores'][name] for o, kept in sets.items()}
        is_unknown = np.concatenate([*scores.values()]) > gamma
        for origin, values in scores.items():
            if math.isnan(gamma) or np.isnan(values).any():
                keys = OF_ID if origin == 'id' else OF_SETS
                row = dict.fromkeys(keys, math.nan)
            elif origin == 'id':
                row = boxes.known_measures(is_unknown)
                row['AP_K_cost'] = all_known - row['AP_K']
            else:
                row = boxes.measures(origin, is_unknown)
            rows.update({f'{origin}/{name}/{k}': v for k, v in row.items()})
    rows['AP_K'] = all_known
    return {
        key: value if key.rpartition('/')[2] in COUNTS else value / 100
        for key, value in rows.items()
    }


def _images(
    sets: Mapping[str, dict], num_known: int
) -> dict[str, list[ImageDetections]]:
    """With every object of an OOD set unknown."""
    return {
        origin: [
            ImageDetections(
                image['boxes'],
                image['own'],
                image['labels'],
                image['objects'],
                image['object_labels']
                if origin == 'id'
                else np.full(len(image['objects']), num_known),
                image['is_crowd'],
            )
            for image in kept['images']
        ]
        for origin, kept in sets.items()
    }


def matched_measures(
    sets: Mapping[str, dict], protocol: str, tpr: float
) -> dict[str, float]:
    """``<set>/<score>/matched_{FPR95,AUROC,AUPR}``.

    Of correct ID boxes against boxes on annotated objects of the OOD set;
    nan, with a warning, where there are none.
    """
    correct = correct_boxes(sets['id'])
    if not correct.any():
        _warn('no ID box that counts is correct', 'on every set')
    rows = {}
    for origin, kept in sets.items():
        if origin == 'id':
            continue
        on_object = boxes_on_objects(kept['boxes'], kept['objects'])
        if not on_object.any():
            _warn(f'no box on an object of the set {origin!r}', 'there')
        for name, id_scores in sets['id']['scores'].items():
            row = dict.fromkeys(MATCHED, math.nan)
            if correct.any() and on_object.any():
                found = ranking_measures(
                    id_scores[correct],
                    kept['scores'][name][on_object],
                    protocol,
                    tpr,
                )
                row = {f'matched_{key}': v for key, v in found.items()}
            rows.update({f'{origin}/{name}/{k}': v for k, v in row.items()})
    return rows


def calibration_measures(in_id: dict) -> dict[str, float]:
    """``calibration/...``: `calibration_metrics` of the ID boxes."""
    confidences = np.concatenate([i['own'] for i in in_id['images']])
    labels = np.concatenate([i['labels'] for i in in_id['images']])
    found = calibration_metrics(confidences, correct_boxes(in_id), labels)
    return {f'calibration/{key}': value for key, value in found.items()}


def correct_boxes(in_id: dict) -> np.ndarray:
    """ID boxes (D,) on an object of their class, IoU >= 0.5, crowds apart.

    As the boxes that scores are fitted on; several may lie on an object.
    """
    labels = [
        (image['labels'], image['object_labels'][~image['is_crowd']])
        for image in in_id['images']
    ]
    return boxes_on_objects(in_id['boxes'], in_id['objects'], labels)


def _warn(reason: str, where: str) -> None:
    warnings.warn(
        f'{reason}: {", ".join(MATCHED)} are nan {where}',
        EmptySetWarning,
        stacklevel=3,
    )
