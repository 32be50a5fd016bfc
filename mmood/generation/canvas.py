"""Painting over the objects of an image one after another.

Shapes: pixels (H, W, 3) uint8 RGB. Images and annotations are those of a
COCO file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol

import numpy as np

from .crops import Box, clip_box
from .painter import Painter, paint_box
from .plan import Target, covered_share

_COVERED = 0.5  # a larger share of an object under paint: it is ignored
# What a painted object no longer is: of the old one only the box is true.
_OUTLINES = ('segmentation', 'area', 'keypoints', 'num_keypoints')


@dataclass
class Canvas:
    """An image on which objects are painted, and what came of each.

    Attributes:
        painted: annotation id -> provenance.
        targets: those painted, in this order.
        discarded: one dict for each painting that was sent back.
    """

    image: dict
    pixels: np.ndarray
    painted: dict[int, dict] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    discarded: list[dict] = field(default_factory=list)


class Filter(Protocol):
    """What measures paintings, and ``keeps`` some; the others are ``name``."""

    name: str

    def __call__(
        self, before: np.ndarray, after: np.ndarray, box: Box, label: str
    ) -> float: ...

    def keeps(self, value: float) -> bool: ...


@dataclass
class Artist:
    """A painter with its filters and settings, see `Settings`.

    Attributes:
        labels: category id -> class name.
    """

    painter: Painter
    filters: Sequence[Filter]
    labels: Mapping[int, str]
    seed: int = 0
    attempts: int = 1
    padding: float = 0.25
    feather: int = 4

    def paint(self, canvas: Canvas, target: Target) -> bool:
        """Paint an object until the filters agree; whether they did.

        A painting that is sent back leaves the pixels as they were.
        """
        label = self.labels[target.annotation['category_id']]
        for attempt in range(self.attempts):
            start = time.perf_counter()
            number = target.annotation['id']
            seed = object_seed(self.seed, canvas.image['id'], number, attempt)
            after, how, reason, measures = self._try(
                canvas.pixels, target, label, seed
            )
            facts = dict(seed=seed, attempt=attempt, measures=measures)
            if reason is None:
                canvas.pixels = after
                canvas.targets.append(target)
                canvas.painted[number] = dict(
                    how,
                    **facts,
                    source=canvas.image['file_name'],
                    painter=self.painter.name,
                    label=label,
                    box=list(target.box),
                    time=_now(),
                    seconds=round(time.perf_counter() - start, 3),
                )
                return True
            canvas.discarded.append(dict(id=number, reason=reason, **facts))
        return False

    def _try(
        self, pixels: np.ndarray, target: Target, label: str, seed: int
    ) -> tuple:
        """(painted pixels, how, reason to discard or None, measures)."""
        done = paint_box(
            pixels,
            target.box,
            self.painter,
            label,
            seed,
            padding=self.padding,
            feather=self.feather,
            keep=target.keep,
        )
        if done is None:
            return None, None, 'refused', {}
        after, how = done
        verdict = judge(self.filters, pixels, after, target.box, label)
        return after, how, *verdict


def object_seed(seed: int, image_id: int, ann_id: int, attempt: int) -> int:
    """The seed of a painting, a 32-bit number.

    It depends on nothing else: not on the order or on other images.
    """
    sequence = np.random.SeedSequence([seed, image_id, ann_id, attempt])
    return int(sequence.generate_state(1)[0])


def judge(
    filters: Sequence[Filter],
    before: np.ndarray,
    after: np.ndarray,
    box: Box,
    label: str,
) -> tuple[str | None, dict[str, float]]:
    """The first filter that discards a painting (or None); the measures.

    They stand under the filters' class names, up to the one that discards.
    """
    measures = {}
    for check in filters:
        value = float(check(before, after, box, label))
        measures[type(check).__name__] = value
        if not check.keeps(value):
            return check.name, measures
    return None, measures


def flag_annotations(
    canvas: Canvas, annotations: Sequence[dict]
) -> list[dict]:
    """Copies with the flag ``ood``, 1 for painted objects; no bad boxes.

    A painted object has the area of its box and no outline. An object that
    stays, but of which more than half lies under painted ones, is marked as
    a crowd, so that training and evaluation ignore it.
    """
    width, height = canvas.image['width'], canvas.image['height']
    result = []
    for annotation in annotations:
        try:
            box = clip_box(annotation['bbox'], width, height)
        except (KeyError, TypeError, ValueError):
            continue
        new = {'iscrowd': 0, **annotation}
        if annotation['id'] in canvas.painted:
            new.update(ood=1, provenance=canvas.painted[annotation['id']])
            new = {k: v for k, v in new.items() if k not in _OUTLINES}
        else:
            new.update(ood=0, **_cover(box, canvas.targets))
        if new['ood'] or new.get('area') is None:
            new['area'] = annotation['bbox'][2] * annotation['bbox'][3]
        result.append(new)
    return result


def _cover(box: Box, targets: list[Target]) -> dict:
    # A target that kept this box did not touch its pixels.
    share = covered_share(box, [t.box for t in targets if box not in t.keep])
    return dict(iscrowd=1, covered=share) if share > _COVERED else {}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec='seconds')
