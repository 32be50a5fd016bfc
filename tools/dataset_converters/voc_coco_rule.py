"""Which COCO images make VOC-COCO: classes, rule and draw.

The rule is the one of the published scripts of Han et al. (CVPR 2022),
described in ``voc_coco.py``.
"""

from __future__ import annotations

import collections
import difflib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from coco_json import canonical, fail
from coco_ood import classes_per_image, match_categories
from voc import CLASSES

# Classes of COCO that VOC does not have, in three groups of twenty.
GROUPS = (
    (
        *('truck', 'traffic light', 'fire hydrant', 'stop sign'),
        *('parking meter', 'bench', 'elephant', 'bear', 'zebra', 'giraffe'),
        *('backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'microwave'),
        *('oven', 'toaster', 'sink', 'refrigerator'),
    ),
    (
        *('frisbee', 'skis', 'snowboard', 'sports ball', 'kite'),
        *('baseball bat', 'baseball glove', 'skateboard', 'surfboard'),
        *('tennis racket', 'banana', 'apple', 'sandwich', 'orange'),
        *('broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake'),
    ),
    (
        *('bed', 'toilet', 'laptop', 'mouse', 'remote', 'keyboard'),
        *('cell phone', 'book', 'clock', 'vase', 'scissors', 'teddy bear'),
        *('hair drier', 'toothbrush', 'wine glass', 'cup', 'fork', 'knife'),
        *('spoon', 'bowl'),
    ),
)
IMAGES = 5000  # per group
OBJECTS = 1.6  # drawn per image that is wanted
TRAIN2017 = 118287  # images of the json that the published sets are from
# (groups, --without-known, --images) -> COCO images. Of the second, 10,000
# were to be drawn, and the objects drawn were in fewer.
PUBLISHED = {
    ((1,), False, 5000): 5000,
    ((1, 2), False, 10000): 9332,
    ((1, 2, 3), False, 15000): 15000,
    **{((1, 2, 3), True, n): n for n in (2500, 5000, 10000, 20000)},
}


@dataclass(frozen=True)
class Rule:
    """Which images may be drawn, by ids of categories.

    None is unknown and in one of the other two as well.
    """

    unknown: frozenset
    known: frozenset
    barred: frozenset

    def allows(self, present: set) -> bool:
        """Whether an image with objects of these categories may be drawn."""
        return bool(present & self.unknown) and not present & self.barred


def find_classes(coco: dict, names: Sequence[str], argument: str) -> set:
    """Ids of the categories of these names; ends the tool if one has none."""
    matched = match_categories(coco['categories'], names)
    known = [category['name'] for category in coco['categories']]
    for name, ids in matched.items():
        if not ids:
            close = difflib.get_close_matches(canonical(name), known, n=3)
            fail(
                f'{argument}: {name!r} is no category of the json; '
                + (f'close: {", ".join(close)}' if close else 'nothing close')
                + f'; it has {", ".join(sorted(known))}'
            )
    return set().union(*matched.values())


def make_rule(
    coco: dict,
    unknown: Sequence[str],
    known: Sequence[str] = CLASSES,
    barred: Sequence[str] = ('person',),
    without_known: bool = False,
) -> Rule:
    """The rule for class names; ends the tool if one cannot be meant."""
    known_ids = find_classes(coco, known, '--known')
    unknown_ids = find_classes(coco, unknown, '--classes')
    barred_ids = find_classes(coco, barred, '--barred')
    names = {c['id']: c['name'] for c in coco['categories']}
    for others, what in ((known_ids, 'known'), (barred_ids, 'barred')):
        if unknown_ids & others:
            both = sorted(names[i] for i in unknown_ids & others)
            fail(f'--classes: {", ".join(both)} cannot also be {what}')
    barred_ids |= set(names) - known_ids - unknown_ids
    if without_known:
        barred_ids |= known_ids
    return Rule(*map(frozenset, (unknown_ids, known_ids, barred_ids)))


def draw_share(groups: dict[str, list], draws: int, rng: random.Random) -> set:
    """What is left of lists if an equal share of each is drawn.

    ``draws`` is the total. The number of a list is rounded down; what is in
    the lists several times may be drawn several times, and counts once.
    """
    total = sum(map(len, groups.values()))
    share = min(1.0, draws / total) if total else 0.0
    drawn: set = set()
    for _, items in sorted(groups.items()):
        drawn.update(rng.sample(items, int(share * len(items))))
    return drawn


def allowed_images(coco: dict, rule: Rule) -> set:
    """Ids of the images that the rule allows."""
    present = classes_per_image(coco)
    return {image for image, ids in present.items() if rule.allows(ids)}


def draw_images(
    coco: dict, allowed: set, images: int, by_objects: bool, seed: int
) -> set:
    """At most ``images`` of the ``allowed`` ids.

    With ``by_objects`` they are the images of `OBJECTS` times as many
    objects, an equal share of every class's.
    """
    rng = random.Random(seed)
    drawn = allowed
    if by_objects:
        names = {c['id']: c['name'] for c in coco['categories']}
        holders = collections.defaultdict(list)
        for annotation in coco['annotations']:
            if annotation['image_id'] in allowed:
                name = canonical(names[annotation['category_id']])
                holders[name].append(annotation['image_id'])
        drawn = draw_share(holders, int(OBJECTS * images), rng)
    ordered = [i['id'] for i in coco['images'] if i['id'] in drawn]
    return set(rng.sample(ordered, min(images, len(ordered))))


def published_images(
    groups: Sequence[int],
    without_known: bool,
    images: int | None,
    listed: int,
) -> int | None:
    """COCO images of the published set that is meant; None if there is none.

    Without ``images`` it is the set for these groups, or the one of the
    series that has as many as ``listed``.
    """
    default = listed if without_known else IMAGES * len(groups)
    return PUBLISHED.get((tuple(groups), without_known, images or default))


def compare(images: int, expected: int | None, available: int) -> list[str]:
    """A warning if a set of ``images`` is not the published one."""
    if expected in (None, images):
        return []
    reason = (
        'although all of train2017 is given: use --image-list with the '
        'published list to compare with published numbers'
        if available == TRAIN2017
        else f'which was made from the {TRAIN2017:,} images of train2017; '
        f'{available:,} are given'
    )
    return [
        f'this set has {images:,} COCO images and the published one '
        f'{expected:,}, {reason}'
    ]
