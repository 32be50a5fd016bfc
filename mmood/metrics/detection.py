"""Measures of object-level OOD detection.

Shapes: n kept boxes and G annotated objects of an image; boxes are (x1, y1,
x2, y2) in pixels. OOD scores: higher is more OOD.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .boxes import box_iou
from .inputs import as_boxes, as_scores, check_share
from .protocols import protocol_rule
from .ranking import auroc, average_precision, fpr_at_tpr

_BOXES = ('boxes', 'objects')


class EmptySetWarning(UserWarning):
    """A measure is nan because one side of it has no sample."""


def ood_metrics(
    id_scores: ArrayLike,
    ood_scores: ArrayLike,
    protocol: str = 'vos',
    tpr: float = 0.95,
) -> dict[str, float]:
    """FPR95, AUROC and AUPR of OOD scores of two populations, in [0, 1].

    The protocol decides which side is positive (`fpr_at_tpr`): ID for
    ``vos`` and ``quantile``, OOD for the others; AUPR follows it, also in
    how its area is taken (`average_precision`). A side without samples makes
    all three nan and warns which side it is. Infinite scores are the most
    extreme ones. Raises `NanScoreError`, a ValueError, for nan scores, and
    ValueError for an unknown protocol and a ``tpr`` outside (0, 1].
    """
    rule = protocol_rule(protocol)
    id_scores = as_scores(id_scores, 'id_scores').ravel()
    ood_scores = as_scores(ood_scores, 'ood_scores').ravel()
    for side, values in (('ID', id_scores), ('OOD', ood_scores)):
        if not values.size:
            warnings.warn(
                f'no kept box on the {side} images: FPR95, AUROC and AUPR '
                'are nan',
                EmptySetWarning,
                stacklevel=2,
            )
    scores = np.concatenate([id_scores, ood_scores])
    is_ood = np.repeat([False, True], [id_scores.size, ood_scores.size])
    if rule.id_positive:
        scores, positive = -scores, ~is_ood
    else:
        positive = is_ood
    return dict(
        FPR95=fpr_at_tpr(scores, positive, tpr, protocol),
        AUROC=auroc(scores, positive),
        AUPR=average_precision(scores, positive, protocol=protocol),
    )


def id_quantile_threshold(id_scores: ArrayLike, tpr: float = 0.95) -> float:
    """The OOD score up to which a share ``tpr`` of the ID scores lies.

    The smallest ID score s with ``mean(id_scores <= s) >= tpr``; nan if
    there is none. DFDD's gamma (ICCV 2023, Eq. 10) in the score's own unit.
    Raises `NanScoreError` for nan scores, ValueError for a ``tpr`` outside
    (0, 1].
    """
    check_share('tpr', tpr)
    id_scores = np.sort(as_scores(id_scores, 'id_scores').ravel())
    if not id_scores.size:
        return float('nan')
    # The subtrahend keeps 0.55 * 100 = 55.00000000000001 from being 56.
    index = int(np.ceil(tpr * id_scores.size - 1e-9)) - 1
    return float(id_scores[max(index, 0)])


def optimal_f1_threshold(precision: np.ndarray, scores: np.ndarray) -> float:
    """Class confidence of best F1, the VOS rule for which boxes count.

    ``precision`` and ``scores`` are (I, 101, K): COCO's curves for I IoU
    thresholds and K classes over the recall grid, -1 where a class has no
    object. Per class: precision averaged over IoUs, the recall of best
    ``2PR / (P + R)``, the mean confidence there. Mean over the classes that
    have objects and a positive confidence, to four decimals; 0 if none has.
    Source: Du et al., VOS, ICLR 2022, public evaluation code. Raises
    ValueError for other shapes and for nan.
    """
    precision = as_scores(precision, 'precision').astype(np.float64)
    scores = as_scores(scores, 'scores').astype(np.float64)
    if precision.ndim != 3 or precision.shape != scores.shape:
        raise ValueError(
            f'precision is {precision.shape} and scores {scores.shape}; both '
            'must be (IoUs, recalls, classes)'
        )
    recall = np.linspace(0, 1, precision.shape[1])[:, None]
    present = (precision > -1).any(axis=(0, 1))
    mean_precision = precision.mean(0)
    total = np.maximum(mean_precision + recall, 1e-12)
    best = np.argmax(2 * mean_precision * recall / total, axis=0)
    columns = np.arange(precision.shape[2])
    confidence = scores.mean(0)[best, columns]
    confidence = confidence[present & (confidence > 0)]
    return round(float(confidence.mean()), 4) if confidence.size else 0.0


def object_recall(
    boxes: Sequence[np.ndarray],
    objects: Sequence[np.ndarray],
    iou: float = 0.5,
) -> float:
    """Share of annotated objects that some box overlaps, in [0, 1].

    Per image (n, 4) boxes and (G, 4) objects; whatever the class, each
    object on its own, IoU >= ``iou``. nan without any object. Raises
    ValueError if the numbers of images differ, and for nan or infinite
    coordinates.
    """
    found = total = 0
    for image_boxes, image_objects in _image_pairs(boxes, objects):
        total += len(image_objects)
        if len(image_boxes) and len(image_objects):
            overlaps = box_iou(image_boxes[:, None], image_objects)
            found += int((overlaps.max(0) >= iou).sum())
    return found / total if total else float('nan')


def boxes_on_objects(
    boxes: Sequence[np.ndarray],
    objects: Sequence[np.ndarray],
    labels: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    iou: float = 0.5,
) -> np.ndarray:
    """Which boxes of all images in a row overlap an annotated object, bool.

    Per image (n, 4) boxes and (G, 4) objects, IoU >= ``iou``. With
    ``labels``, the (n,) and (G,) classes of each image, an object of the
    class that the box says. Several boxes may lie on an object. Raises
    ValueError if the numbers of images differ, and for nan or infinite
    coordinates.
    """
    found: list[np.ndarray] = [np.zeros(0, dtype=bool)]
    pairs = _image_pairs(boxes, objects)
    for index, (image_boxes, image_objects) in enumerate(pairs):
        hit = box_iou(image_boxes[:, None], image_objects) >= iou
        if labels is not None:
            own, theirs = labels[index]
            hit &= np.asarray(own)[:, None] == np.asarray(theirs)
        found.append(np.asarray(hit.any(1)))
    return np.concatenate(found)


def _image_pairs(
    boxes: Sequence[np.ndarray], objects: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Checked boxes (n, 4) and objects (G, 4) of each image."""
    if len(boxes) != len(objects):
        raise ValueError(
            f'boxes of {len(boxes)} and objects of {len(objects)} images; '
            'the numbers must agree'
        )
    for of_image in zip(boxes, objects):
        image_boxes, image_objects = map(as_boxes, of_image, _BOXES)
        yield image_boxes, image_objects
