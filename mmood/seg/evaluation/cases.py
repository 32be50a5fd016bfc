"""The images of a test on which a score does worst and best.

Shapes: H x W pixels, h x w of what is kept of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from mmengine.dist import all_gather_object

_SIDE = 256  # pixels of what is kept, at most
_QUANTILE = 0.99


class Region(NamedTuple):
    """What an image is ranked by, and the pixels (H, W) that say it."""

    value: float
    sign: int  # -1: low values stand first
    pixels: np.ndarray


class CaseKeeper:
    """The first few images by each rule, of each set and score.

    ``miss``: the lowest median score of the OOD pixels, ``find``: the
    highest, ``alarm``: the highest 99 % quantile of the ID pixels.

    Args:
        limit: images of each kind.
    """

    def __init__(self, limit: int = 8) -> None:
        self.limit = limit
        self._cases: dict[tuple, list[dict]] = {}

    def add(
        self,
        place: tuple[str, str],
        record: Mapping,
        is_ood: np.ndarray,
        is_id: np.ndarray,
        classes: np.ndarray | None,
    ) -> None:
        """Look at an image of a (set, score), whose map has no nan.

        ``classes`` (H, W), if given, say what the pixels were taken for.
        """
        values = record['maps'][place[1]]
        for kind, region in _regions(values, is_ood, is_id).items():
            order = region.sign * region.value, record['name']
            kept = self._cases.setdefault((*place, kind), [])
            if len(kept) >= self.limit and _order(kept[-1]) >= order:
                continue
            kept.append(
                dict(
                    set=place[0],
                    score=place[1],
                    kind=kind,
                    image=record['name'],
                    value=region.value,
                    sign=region.sign,
                    number=_mode(classes, region.pixels),
                    map=_small(values),
                    label=_small(record['label']).astype(np.uint8),
                )
            )
            kept.sort(key=_order, reverse=True)
            del kept[self.limit :]

    def gather(self) -> list[dict]:
        """Those of all ranks, the first ones first. A collective call.

        Each has ``set``, ``score``, ``kind``, ``image``, ``value``,
        ``number`` of the class that most of the pixels were taken for, or
        None, and in at most 256 x 256 pixels ``map`` and ``label`` (h, w).
        """
        merged: dict[tuple, list[dict]] = {}
        for part in all_gather_object(self._cases):
            for key, cases in part.items():
                merged.setdefault(key, []).extend(cases)
        found = []
        for cases in merged.values():
            cases = sorted(cases, key=_order, reverse=True)[: self.limit]
            found += [
                {key: v for key, v in case.items() if key != 'sign'}
                for case in cases
            ]
        return found


def _regions(
    values: np.ndarray, is_ood: np.ndarray, is_id: np.ndarray
) -> dict[str, Region]:
    found = {}
    if is_ood.any():
        median = float(np.quantile(values[is_ood], 0.5, method='higher'))
        found['miss'] = Region(median, -1, is_ood)
        found['find'] = Region(median, 1, is_ood)
    if is_id.any():
        high = float(np.quantile(values[is_id], _QUANTILE, method='higher'))
        found['alarm'] = Region(high, 1, is_id & (values >= high))
    return found


def _order(case: Mapping) -> tuple[float, str]:
    return case['sign'] * case['value'], case['image']


def _mode(classes: np.ndarray | None, pixels: np.ndarray) -> int | None:
    if classes is None:
        return None
    return int(np.bincount(classes[pixels]).argmax())


def _small(array: np.ndarray) -> np.ndarray:
    """Every s-th pixel, so that neither side is above the limit."""
    step = -(-max(array.shape) // _SIDE)
    return np.ascontiguousarray(array[::step, ::step])
