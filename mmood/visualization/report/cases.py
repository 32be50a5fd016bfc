"""The boxes of a test that are worth a look.

Shapes: D boxes that count and G objects of a set.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .detection import Boxes
from .runs import Run

Scene = tuple[str, int]  # a set, and the place of an image in it


def box_cases(run: Run, sets: Mapping[str, Boxes], limit: int) -> list[dict]:
    """Up to ``limit`` of each kind, for each set and score, best first.

    ``miss``: a box on an unknown object with a low score, ``find``: one with
    a high score, ``alarm``: an ID box with a high score, ``unseen``: an
    object without a box, the largest first; no two of an image. Each has
    ``set``, ``kind``, ``score`` (None for ``unseen``), ``rank``, ``scene``,
    ``class``, ``value`` and the place in its set of its ``box`` or its
    ``object``; a box on an object also its category, ``shows``.
    """
    found = []
    for name in run.sets:
        boxes = sets[name]
        unseen = np.flatnonzero(~boxes.is_seen)
        sizes = -_areas(boxes.objects)
        found += _objects(boxes, _first(unseen, sizes, boxes, limit))
        for score, values in boxes.scores.items():
            for kind, sign in (('miss', 1), ('find', -1)):
                hit = np.flatnonzero(boxes.is_hit & ~np.isnan(values))
                order = _first(hit, sign * values, boxes, limit, 'image')
                found += _boxes(run, boxes, kind, score, order)
    known = sets['id']
    for score, values in known.scores.items():
        counted = np.flatnonzero(~np.isnan(values))
        order = _first(counted, -values, known, limit, 'image')
        found += _boxes(run, known, 'alarm', score, order)
    return found


def _first(
    places: np.ndarray,
    ranks: np.ndarray,
    boxes: Boxes,
    limit: int,
    image: str = 'object_image',
) -> list[int]:
    """Those of the places with the lowest ranks, no two of an image."""
    images: np.ndarray = getattr(boxes, image)
    chosen: dict[int, int] = {}
    for place in places[np.argsort(ranks[places], kind='stable')]:
        chosen.setdefault(int(images[place]), int(place))
        if len(chosen) == limit:
            break
    return list(chosen.values())


def _boxes(
    run: Run, boxes: Boxes, kind: str, score: str, places: list[int]
) -> list[dict]:
    classes, names = run.details['classes'], dict(enumerate(boxes.classes))
    shown = {}
    if kind != 'alarm':
        shown = {b: int(boxes.object_label[o]) for b, o in boxes.hits.tolist()}
    return [
        {
            'set': boxes.name,
            'kind': kind,
            'score': score,
            'rank': rank,
            'scene': (boxes.name, int(boxes.image[place])),
            'class': classes[boxes.label[place]],
            'value': float(boxes.scores[score][place]),
            'box': place,
            'shows': names.get(shown.get(place, -1)),
        }
        for rank, place in enumerate(places)
    ]


def _objects(boxes: Boxes, places: list[int]) -> list[dict]:
    names = dict(enumerate(boxes.classes))
    return [
        {
            'set': boxes.name,
            'kind': 'unseen',
            'score': None,
            'rank': rank,
            'scene': (boxes.name, int(boxes.object_image[place])),
            'class': names.get(int(boxes.object_label[place]), 'object'),
            'value': None,
            'object': place,
        }
        for rank, place in enumerate(places)
    ]


def box_scene(run: Run, boxes: Boxes, image: int) -> dict:
    """All boxes and objects of an image, in its own pixels.

    ``boxes``: corners, class, confidence and the scores in the order of the
    test; ``first_box`` is the place of the first one in its set, as
    ``first_object`` is that of the first of the ``objects``.
    """
    own = np.flatnonzero(boxes.image == image)
    objects = np.flatnonzero(boxes.object_image == image)
    classes, scores = run.details['classes'], run.details['scores']
    names = dict(enumerate(boxes.classes))
    return dict(
        boxes=[
            [
                *boxes.boxes[i].round(1).tolist(),
                classes[boxes.label[i]],
                round(float(boxes.confidence[i]), 4),
                *(float(boxes.scores[score][i]) for score in scores),
            ]
            for i in own
        ],
        objects=[
            [
                *boxes.objects[i].round(1).tolist(),
                names.get(int(boxes.object_label[i]), 'object'),
            ]
            for i in objects
        ],
        first_box=int(own[0]) if own.size else 0,
        first_object=int(objects[0]) if objects.size else 0,
    )


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)
