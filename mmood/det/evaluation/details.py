"""What a test leaves in its folder of each box.

Shapes: D boxes that count and G objects of a set, P pairs of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from mmood.metrics.boxes import box_iou
from mmood.ops import write_arrays, write_json
from mmood.visualization import plot_roc_and_histogram

from .records import SCORES


def write_scores(
    out_dir: str, sets: Mapping[str, dict], names: Sequence[str]
) -> None:
    """Per score an ``.npz``, one array per set, and its curves."""
    for name in names:
        scores = {o: kept['scores'][name] for o, kept in sets.items()}
        path = os.path.join(out_dir, f'{SCORES}_{name}')
        write_arrays(f'{path}.npz', scores)
        drawn = {o: v[np.isfinite(v)] for o, v in scores.items()}
        id_scores = drawn.pop('id')
        plot_roc_and_histogram(id_scores, drawn, f'{path}.png', name)


def write_details(
    out_dir: str, sets: Mapping[str, dict], **settings: object
) -> None:
    """Write ``details.json`` and ``boxes.npz`` of the `by_origin` sets.

    The first has the settings and, per set, its classes and the paths of
    its images; the second the arrays of `box_arrays` as ``SET/NAME``, in the
    order of ``ood_scores_SCORE.npz``.
    """
    arrays, listed = {}, {}
    for origin, kept in sets.items():
        found = box_arrays(kept['images'])
        arrays.update({f'{origin}/{k}': v for k, v in found.items()})
        paths = [image['path'] for image in kept['images']]
        listed[origin] = dict(
            classes=list(kept['classes']),
            images=[path and os.path.abspath(path) for path in paths],
        )
    write_arrays(os.path.join(out_dir, 'boxes.npz'), arrays)
    content = dict(task='detection', sets=listed, **settings)
    write_json(os.path.join(out_dir, 'details.json'), content)


def box_arrays(images: Sequence[dict]) -> dict[str, np.ndarray]:
    """Boxes and objects, crowds apart, of a set's images in a row.

    ``boxes`` (D, 4) x1, y1, x2, y2, ``image`` (D,) the image's place in the
    list, ``label``, ``confidence`` (D,) that of its own class; ``objects``
    (G, 4), ``object_image``, ``object_label`` (G,); ``hits`` (P, 2) pairs of
    a box and an object with IoU >= 0.5, whatever their classes.
    """
    counted = [~image['is_crowd'] for image in images]
    boxes = [image['boxes'] for image in images]
    objects = [i['objects'][kept] for i, kept in zip(images, counted)]
    labels = [i['object_labels'][kept] for i, kept in zip(images, counted)]
    hits, start = [np.zeros((0, 2), np.int64)], np.zeros(2, np.int64)
    for own, theirs in zip(boxes, objects):
        overlaps = box_iou(own[:, None], theirs[None])
        hits.append(np.argwhere(overlaps >= 0.5) + start)
        start = start + (len(own), len(theirs))
    return dict(
        boxes=_joined(boxes, np.zeros((0, 4), np.float32)),
        image=_places(boxes),
        label=_joined([i['labels'] for i in images], np.zeros(0, np.int64)),
        confidence=_joined([i['own'] for i in images], np.zeros(0)),
        objects=_joined(objects, np.zeros((0, 4), np.float32)),
        object_image=_places(objects),
        object_label=_joined(labels, np.zeros(0, np.int64)),
        hits=np.concatenate(hits).astype(np.int32),
    )


def name_of(values: np.ndarray, kept: Mapping) -> str:
    """The score of a `by_origin` set that has these values; '' if none."""
    for name, others in kept['scores'].items():
        if np.array_equal(values, others, equal_nan=True):
            return name
    return ''


def _places(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The number of its part, for each row."""
    lengths = [len(part) for part in parts]
    return np.repeat(np.arange(len(parts), dtype=np.int32), lengths)


def _joined(parts: Sequence[np.ndarray], empty: np.ndarray) -> np.ndarray:
    return np.concatenate([empty[:0], *parts]) if parts else empty
