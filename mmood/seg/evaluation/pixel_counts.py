"""Score histograms of many sets, over images and ranks."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from mmengine.dist import all_gather_object

from mmood.metrics import ScoreHistogram

_BLOCK = 2**18


class PixelCounts:
    """One `ScoreHistogram` per place; a place is a key of the caller's.

    ``spoilt``: why it does not hold all, by place, after `gather` of all
    ranks.

    Args:
        num_bins: of each histogram.
        block: pixels of a place that are counted at once; None: 2**18.
    """

    def __init__(
        self, num_bins: int = 2**18, block: int | None = None
    ) -> None:
        self._num_bins, self._block = num_bins, block or _BLOCK
        self.spoilt: dict[tuple, str] = {}
        self._histograms: dict[tuple, ScoreHistogram] = {}
        self._waiting: dict[tuple, list] = defaultdict(list)

    def add(
        self,
        place: tuple,
        scores: np.ndarray,
        is_ood: np.ndarray,
        name: str,
    ) -> None:
        """Count pixels of the map ``name``, both arrays (n,).

        One with nan spoils its place. Many small images are put together
        first: an `add` of the histogram costs as much for a few pixels as
        for many.
        """
        nans = int(np.isnan(scores).sum())
        if nans:
            self.spoilt.setdefault(place, f'{name} has {nans} nan')
            scores, is_ood = scores[:0], is_ood[:0]
        self._waiting[place].append((scores, is_ood))
        if sum(len(part) for part, _ in self._waiting[place]) > self._block:
            self._flush(place)

    def gather(self) -> dict[tuple, ScoreHistogram]:
        """The counts of all ranks together. A collective call."""
        for place in list(self._waiting):
            self._flush(place)
        merged: dict[tuple, ScoreHistogram] = {}
        for part in all_gather_object(self._histograms):
            for place, histogram in part.items():
                merge_into(merged, place, histogram)
        for part in all_gather_object(self.spoilt):
            self.spoilt = {**part, **self.spoilt}
        return merged

    def _flush(self, place: tuple) -> None:
        scores, is_ood = zip(*self._waiting.pop(place))
        histogram = self._histograms.setdefault(
            place, ScoreHistogram(self._num_bins)
        )
        histogram.add(np.concatenate(scores), np.concatenate(is_ood))


def merge_into(
    merged: dict[tuple, ScoreHistogram],
    place: tuple,
    histogram: ScoreHistogram,
) -> None:
    """Add a histogram to the one at a place, which is made if need be."""
    if place in merged:
        merged[place].merge(histogram)
    else:
        merged[place] = histogram.copy()
