"""Matching and average precision by the rules of PASCAL VOC.

Shapes: n detections and G annotated objects of an image, D detections of a
class in all images, O objects of a class in all images; boxes are
(x1, y1, x2, y2) in pixels.
Source: Everingham et al., "The PASCAL Visual Object Classes Challenge",
IJCV 2010, and its development kit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from .boxes import box_iou
from .image_detections import ImageDetections
from .inputs import as_scores

AP_STYLES = ('area', '11points')
_BLOCK = 2**15  # detections whose pairs are in memory at a time


@dataclass(frozen=True, eq=False)
class RankedMatches:
    """Detections of one class, by descending score, equal ones in order.

    ``scores`` (D,); bool (D,): ``is_tp``, ``is_fp`` (neither for one on a
    difficult object), ``on_unknown`` (overlaps an unknown object, whatever
    else it is). ``num_objects`` counts those that are not difficult.
    ``indices`` (D,) are places in the detections of all images in a row.
    """

    scores: np.ndarray
    is_tp: np.ndarray
    is_fp: np.ndarray
    on_unknown: np.ndarray
    num_objects: int
    indices: np.ndarray | None = None

    @property
    def recall(self) -> np.ndarray:
        """Share of the objects found up to each rank, nan if none is."""
        if not self.num_objects:
            return np.full(len(self.is_tp), np.nan)
        return np.cumsum(self.is_tp) / self.num_objects

    @property
    def precision(self) -> np.ndarray:
        """TP / (TP + FP) up to each rank, 0 as long as there is neither."""
        counted = np.cumsum(self.is_tp | self.is_fp)
        return np.cumsum(self.is_tp) / np.maximum(counted, 1)

    def average_precision(self, style: str = 'area') -> float:
        """`voc_average_precision`, nan for a class without objects."""
        check_style(style)
        if not self.num_objects:
            return float('nan')
        return voc_average_precision(self.recall, self.precision, style)


def match_class(
    images: Sequence[ImageDetections],
    label: int,
    iou: float = 0.5,
    unknown_label: int | None = None,
    offset: float = 0.0,
) -> RankedMatches:
    """Tell true from false positives of one class, by the VOC rule.

    By descending score a detection takes the object of its class and image
    that it overlaps most. If their IoU is above ``iou``: it is a true
    positive if it is the first there, a false one if not, and neither on a
    difficult object. Else it is a false positive. ``on_unknown``: its IoU
    with some object of ``unknown_label``, difficult or not, is above
    ``iou``; never, if that is None. ``offset=1`` counts corners as pixels
    of the box, so that the width is x2 - x1 + 1.
    """
    return match_classes(images, [label], [iou], unknown_label, offset)[0][0]


def match_classes(
    images: Sequence[ImageDetections],
    labels: Iterable[int],
    ious: Sequence[float] = (0.5,),
    unknown_label: int | None = None,
    offset: float = 0.0,
) -> list[list[RankedMatches]]:
    """`match_class` for each label (outer list) and each IoU (inner)."""
    found, objects = pool_detections(images), pool_objects(images)
    unknown = None if unknown_label is None else objects.of(unknown_label)
    return [
        _match(found.of(label), objects.of(label), unknown, ious, offset)
        for label in labels
    ]


def voc_average_precision(
    recall: np.ndarray, precision: np.ndarray, style: str = 'area'
) -> float:
    """Average precision, (D,), (D,) by rank -> [0, 1]; 0 if D is 0.

    The envelope of precision is its maximum over this and all higher
    recalls, 0 beyond the last. ``'area'`` integrates it over recall (VOC
    2010 and later), ``'11points'`` averages it at the recalls 0, 0.1 ... 1
    (VOC 2007); the levels are the doubles i * 0.1 as in all public code, so
    that 3 / 10 falls short of the fourth. Raises ValueError for another
    style, lengths that differ and nan.
    """
    check_style(style)
    recall = as_scores(recall, 'recall').astype(np.float64)
    precision = as_scores(precision, 'precision').astype(np.float64)
    if recall.shape != precision.shape or recall.ndim != 1:
        raise ValueError(
            f'recall is {recall.shape} and precision {precision.shape}; both '
            'must have a value per rank'
        )
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if style == 'area':
        return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
    first = np.searchsorted(recall, np.linspace(0, 1, 11))
    return float(np.append(envelope, 0.0)[first].mean())


def best_f1_score(matches: Sequence[RankedMatches]) -> float:
    """Score from which detections count, mean over the classes.

    Of each class the score at the rank of the best F1,
    ``2 P R / (P + R)``, the first of equal ones; nan if no class has a true
    positive. Classes without one are left out.
    """
    scores = []
    for match in matches:
        if match.is_tp.any():
            product = match.precision * match.recall
            total = np.maximum(match.precision + match.recall, 1e-12)
            scores.append(match.scores[np.argmax(product / total)])
    return float(np.mean(scores)) if scores else float('nan')


def check_style(style: str) -> None:
    """Raise ValueError if there is no such way to average precision."""
    if style not in AP_STYLES:
        raise ValueError(f'style must be one of {AP_STYLES}, got {style!r}')


@dataclass(frozen=True, eq=False)
class PooledBoxes:
    """Boxes (N, 4) of all images, with what is known of each, (N,).

    ``values`` are scores of detections, or whether objects are difficult.
    ``images`` are numbers, ``indices`` places in the row of all images.
    """

    boxes: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    images: np.ndarray
    indices: np.ndarray

    def of(self, label: int) -> PooledBoxes:
        """Those of a label, the labels being sorted."""
        low, high = np.searchsorted(self.labels, [label, label + 1])
        return self.rows(slice(low, high))

    def rows(self, rows: slice | np.ndarray) -> PooledBoxes:
        return PooledBoxes(
            *(getattr(self, f.name)[rows] for f in fields(self))
        )


def pool_detections(images: Sequence[ImageDetections]) -> PooledBoxes:
    """Detections, sorted by label, within it in the order of images."""
    return _pool([(i.boxes, i.labels, i.scores) for i in images])


def pool_objects(images: Sequence[ImageDetections]) -> PooledBoxes:
    """Annotated objects, sorted by label, within it by image."""
    return _pool([(i.gt_boxes, i.gt_labels, i.gt_difficult) for i in images])


def _pool(parts: list[tuple]) -> PooledBoxes:
    parts = [(np.zeros((0, 4)), np.zeros(0), np.zeros(0)), *parts]
    boxes = [np.reshape(b, (-1, 4)) for b, _, _ in parts]
    labels = [np.ravel(label).astype(np.int64) for _, label, _ in parts]
    values = [np.ravel(value) for _, _, value in parts]
    count = [len(b) for b in boxes]
    pool = PooledBoxes(
        np.concatenate(boxes).astype(np.float64),
        np.concatenate(labels),
        np.concatenate(values),
        np.repeat(np.arange(len(boxes)) - 1, count),
        np.arange(sum(count)),
    )
    return pool.rows(np.argsort(pool.labels, kind='stable'))


def _match(
    found: PooledBoxes,
    objects: PooledBoxes,
    unknown: PooledBoxes | None,
    ious: Sequence[float],
    offset: float,
) -> list[RankedMatches]:
    found = found.rows(np.argsort(-found.values, kind='stable'))
    best, which = best_overlap(found, objects, offset)
    if unknown is None:
        on_unknown = np.zeros(len(best))
    else:
        on_unknown, _ = best_overlap(found, unknown, offset)
    difficult = objects.values.astype(bool)
    number = int((~difficult).sum())
    return [
        RankedMatches(
            found.values,
            *true_and_false(best > iou, which, difficult),
            on_unknown > iou,
            number,
            found.indices,
        )
        for iou in ious
    ]


def true_and_false(
    is_hit: np.ndarray, which: np.ndarray, difficult: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which ranked detections (D,) are true and which false positives.

    ``which`` object (G,) each overlaps most, and whether by enough; the
    first of several is the true one. Neither: on a ``difficult`` object.
    """
    # Row -1 of the longer array stands for: no object in the image.
    ignored = is_hit & np.append(difficult, False)[which]
    on_object = np.flatnonzero(is_hit & ~ignored)
    _, first = np.unique(which[on_object], return_index=True)
    is_tp = np.zeros(len(is_hit), dtype=bool)
    is_tp[on_object[first]] = True
    return is_tp, ~is_tp & ~ignored


def best_overlap(
    found: PooledBoxes, objects: PooledBoxes, offset: float
) -> tuple[np.ndarray, np.ndarray]:
    """Largest IoU (D,) with an object of the image, and its row (D,).

    The objects' ``images`` are sorted. The first of equal ones; 0 and -1
    where the image has no object.
    """
    best = np.zeros(len(found.boxes))
    which = np.full(len(found.boxes), -1)
    low = np.searchsorted(objects.images, found.images)
    count = np.searchsorted(objects.images, found.images, 'right') - low
    paired = np.flatnonzero(count)
    for start in range(0, len(paired), _BLOCK):
        rows = paired[start : start + _BLOCK]
        number = count[rows]
        first = np.cumsum(number) - number
        # All pairs of a detection in a row, its objects in their order.
        theirs = np.arange(number.sum()) + np.repeat(low[rows] - first, number)
        mine = np.repeat(rows, number)
        iou = box_iou(found.boxes[mine], objects.boxes[theirs], offset)
        best[rows] = np.maximum.reduceat(iou, first)
        largest = np.flatnonzero(iou == best[mine])[::-1]
        which[mine[largest]] = theirs[largest]  # the last one written stays
    return best, which
