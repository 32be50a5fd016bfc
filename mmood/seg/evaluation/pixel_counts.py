"""Score histograms of many sets, over images and ranks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

import numpy as np
from mmengine.dist import all_gather_object

from mmood.metrics import ScoreHistogram

_BLOCK = 1 << 18  # pixels that are counted at once


class PixelCounts:
    """One `ScoreHistogram` per place, (set, score, fold).

    A nan says nothing of its pixel: where a score has one, nothing of it is
    counted on its set.
    """

    def __init__(self) -> None:
        self._histograms: dict[Hashable, ScoreHistogram] = {}
        self._nan: dict[tuple, str] = {}
        self._waiting: dict[Hashable, list] = defaultdict(list)

    def add(
        self,
        place: tuple[str, str, int],
        scores: np.ndarray,
        is_ood: np.ndarray,
        image: str = '',
    ) -> None:
        """Count pixels of an image, both arrays (n,).

        Many small images are put together first: an `add` of the histogram
        costs as much for a few pixels as for many.
        """
        bad = int(np.isnan(scores).sum())
        if bad:
            reason = f'has {bad} nan pixels in {image}'
            self._nan.setdefault(place[:2], reason)
            scores, is_ood = scores[:0], is_ood[:0]
        self._waiting[place].append((scores, is_ood))
        if sum(len(part) for part, _ in self._waiting[place]) > _BLOCK:
            self._flush(place)

    def gather(
        self,
    ) -> tuple[dict[Hashable, ScoreHistogram], dict[tuple, str]]:
        """The counts of all ranks, and why some (set, score) have none.

        A collective call.
        """
        for place in list(self._waiting):
            self._flush(place)
        merged: dict[Hashable, ScoreHistogram] = {}
        nan: dict[tuple, str] = {}
        for histograms, reasons in all_gather_object(
            (self._histograms, self._nan)
        ):
            nan = {**reasons, **nan}
            for place, histogram in histograms.items():
                merge_into(merged, place, histogram)
        for place in merged:
            if place[:2] in nan:
                merged[place] = ScoreHistogram()
        return merged, nan

    def _flush(self, place: Hashable) -> None:
        scores, is_ood = zip(*self._waiting.pop(place))
        histogram = self._histograms.setdefault(place, ScoreHistogram())
        histogram.add(np.concatenate(scores), np.concatenate(is_ood))


def merge_into(
    merged: dict[Hashable, ScoreHistogram],
    place: Hashable,
    histogram: ScoreHistogram,
) -> None:
    """Add a histogram to the one at a place, which is made if need be."""
    if place in merged:
        merged[place].merge(histogram)
    else:
        merged[place] = histogram.copy()
