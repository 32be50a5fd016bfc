"""Which annotated objects are painted over, and in what order.

Images and annotations are the dictionaries of a COCO file; boxes are in
whole pixels, see `crops`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .crops import Box, box_mask, clip_box

_MOST_KEPT = 0.5  # share of a box that may stay for the sake of others


@dataclass
class Target:
    """An annotation to paint over, its box, and boxes that must stay."""

    annotation: dict
    box: Box
    keep: list[Box]


def plan_image(
    image: Mapping,
    annotations: Sequence[dict],
    *,
    min_area: float = 2000,
    max_objects: int | None = None,
) -> tuple[list[Target], dict[str, int]]:
    """The objects to paint over, largest first, and the others counted.

    The area is the annotation's ``area`` in square pixels, or that of its
    box where there is none; of equal ones the lower annotation id is first.
    A target keeps the boxes of all smaller objects that are left alone.
    Reasons to leave one alone: ``crowd`` (``iscrowd`` or ``ignore``),
    ``bad_box`` (see `clip_box`), ``small`` (area below ``min_area``),
    ``over_limit`` (not among the ``max_objects`` largest of the rest) and
    ``crowded`` (boxes to keep cover more than half of it).

    Raises ValueError for an image without size and ``max_objects`` < 1.
    """
    if max_objects is not None and max_objects < 1:
        raise ValueError(
            f'max_objects must be at least 1 or None, got {max_objects}'
        )
    width, height = _size(image)
    found, skipped = [], Counter[str]()
    for annotation in annotations:
        if annotation.get('iscrowd') or annotation.get('ignore'):
            skipped['crowd'] += 1
            continue
        try:
            box = clip_box(annotation['bbox'], width, height)
        except (KeyError, TypeError, ValueError):
            skipped['bad_box'] += 1
            continue
        found.append(Target(annotation, box, []))
    found.sort(key=lambda t: (-_area(t.annotation), t.annotation['id']))
    big = sum(_area(t.annotation) >= min_area for t in found)
    end = big if max_objects is None else min(big, max_objects)
    skipped.update(small=len(found) - big, over_limit=big - end)
    targets = _uncrowded(found[:end], [t.box for t in found[end:]])
    skipped['crowded'] = end - len(targets)
    return targets, {name: n for name, n in skipped.items() if n}


def _uncrowded(targets: list[Target], stay: list[Box]) -> list[Target]:
    """Those not covered by what stays, each with its boxes to keep.

    From the smallest on, as a crowded one stays as well and is to be kept
    by the larger ones.
    """
    result = []
    for target in reversed(targets):
        if covered_share(target.box, stay) > _MOST_KEPT:
            stay = [*stay, target.box]
        else:
            result.append(Target(target.annotation, target.box, list(stay)))
    return result[::-1]


def _size(image: Mapping) -> tuple[int, int]:
    try:
        return int(image['width']), int(image['height'])
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            'an image of a COCO file must have a width and a height in '
            f'pixels, got {dict(image)}'
        ) from None


def _area(annotation: Mapping) -> float:
    area = annotation.get('area')
    if area is None or not math.isfinite(area):
        area = annotation['bbox'][2] * annotation['bbox'][3]
    return area


def select_images(
    images: Iterable[dict],
    annotations_by_image: Mapping[int, Sequence[dict]],
    num_images: int | None,
    seed: int,
    **plan,
) -> list[dict]:
    """The first ``num_images`` with a target, in an order drawn by chance.

    The order follows from the seed and the images' ids alone, so that a
    larger number only adds images; None takes all. ``plan`` are options of
    `plan_image`. Raises ValueError for a number below 1.
    """
    if num_images is not None and num_images < 1:
        raise ValueError(
            f'num_images must be at least 1 or None, got {num_images}'
        )
    ordered = sorted(images, key=lambda image: image['id'])
    chosen = []
    for i in np.random.default_rng(seed).permutation(len(ordered)):
        image = ordered[i]
        annotations = annotations_by_image.get(image['id'], ())
        if plan_image(image, annotations, **plan)[0]:
            chosen.append(image)
        if len(chosen) == num_images:
            break
    return chosen


def covered_share(box: Box, painted: Iterable[Box]) -> float:
    """Share, in [0, 1], of a box's pixels in the union of other boxes."""
    return 1 - float(box_mask(box, box, painted).mean())
