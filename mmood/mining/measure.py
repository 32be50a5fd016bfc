"""How well groups of boxes fit classes that somebody knows.

Shapes: N boxes, M annotated objects.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from mmood.metrics.boxes import box_iou
from mmood.ops import read_coco

from .groups import NOT_GROUPED

_NOTHING = 'background'


class Truth:
    """The annotated objects of COCO files, by the image's name.

    Crowds, and objects marked ``ignore``, are left out.
    """

    def __init__(self, *paths: str | os.PathLike) -> None:
        self.names: list[str] = []
        self.objects: dict[str, list[tuple]] = defaultdict(list)
        for path in paths:
            self._add(read_coco(path))

    def _add(self, content: dict) -> None:
        names = {c['id']: c['name'] for c in content['categories']}
        self.names += [image['file_name'] for image in content['images']]
        by_id = {i['id']: i['file_name'] for i in content['images']}
        for one in content['annotations']:
            if one['iscrowd'] or one.get('ignore'):
                continue
            x, y, width, height = one['bbox']
            self.objects[by_id[one['image_id']]].append(
                (names[one['category_id']], [x, y, x + width, y + height])
            )

    def matched(
        self, names: Sequence[str], boxes: np.ndarray, iou: float = 0.5
    ) -> tuple[list[str], list[tuple | None]]:
        """What boxes (N, 4) show, in the images of these names.

        Of each the class and the object, its image and place there, that it
        overlaps most, by ``iou`` at least; else 'background' and None.
        """
        classes: list[str] = []
        objects: list[tuple | None] = []
        for name, box in zip(names, boxes):
            there = self.objects.get(name, [])
            corners = np.array([c for _, c in there], float).reshape(-1, 4)
            overlap = box_iou(np.asarray(box)[None], corners)
            best = int(overlap.argmax()) if len(there) else -1
            is_hit = best >= 0 and overlap[best] >= iou
            classes.append(there[best][0] if is_hit else _NOTHING)
            objects.append((name, best) if is_hit else None)
        return classes, objects


def measure_groups(
    truth: Truth,
    names: Sequence[str],
    boxes: np.ndarray,
    labels: np.ndarray,
    unknown: Sequence[str],
) -> dict:
    """Purity and recall of groups against the classes ``unknown``.

    A box shows what `Truth.matched` says; a group is of the class that most
    of its boxes show, background too.

    ``purity``: share of the boxes in groups that show their group's class.
    ``object_purity``: the same of those that show an unknown object alone.
    ``found``: share of the unknown objects that a box shows. ``recall``:
    share that a box shows which is in a group of their class, the mean over
    classes, each in ``recalls``. ``unknown_boxes``: share of the boxes that
    show an unknown object. ``grouped``: share of boxes in groups. nan where
    there is nothing to count.
    """
    shows, objects = truth.matched(names, boxes)
    members: dict[int, Counter] = defaultdict(Counter)
    for label, name in zip(labels.tolist(), shows):
        members[label][name] += 1
    members.pop(NOT_GROUPED, None)
    of = {g: counts.most_common(1)[0][0] for g, counts in members.items()}
    right = [of.get(g) == s for g, s in zip(labels.tolist(), shows)]
    is_grouped = labels != NOT_GROUPED
    on_object = np.array([s in unknown for s in shows], bool)
    wanted = [
        (name, (image, place))
        for image in truth.objects
        for place, (name, _) in enumerate(truth.objects[image])
        if name in unknown
    ]
    hit = set(objects)
    well = {o for o, is_right in zip(objects, right) if is_right}
    recalls = {
        name: _share([key in well for n, key in wanted if n == name])
        for name in unknown
    }
    there = [v for v in recalls.values() if not np.isnan(v)]
    is_right = np.array(right, bool)
    return dict(
        boxes=len(labels),
        groups=len(of),
        grouped=_share(is_grouped),
        unknown_boxes=_share(on_object),
        purity=_share(is_right[is_grouped]),
        object_purity=_share(is_right[is_grouped & on_object]),
        found=_share([key in hit for _, key in wanted]),
        recall=float(np.mean(there)) if there else float('nan'),
        recalls=recalls,
    )


def _share(values: Sequence[bool] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float('nan')
