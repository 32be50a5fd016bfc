"""What a segmentor's scores see, and what they are fitted on.

Shapes: B images, K classes, H x W pixels, h x w cells of a feature map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mmseg.structures import SegDataSample
from torch import Tensor

from mmood.scores import Samples, class_logits

from .parents import Segmentor
from .windows import (
    image_key,
    labelled_rows,
    labelled_windows,
    noise_key,
    row_scores,
)


class FitsScores(Segmentor):
    """Part of `OODEncoderDecoder`, which scores windows and pixels."""

    def sort_scores(self) -> None:
        """By what they read: cells or queries of windows, or pixels alone."""
        self._of_cells = self.reading('features')
        self._of_queries = self.reading('queries')
        self._of_windows = self.reading('features', 'queries', 'inputs')
        self._of_pixels = set(self.scores.names) - self._of_windows

    def reading(self, *parts: str) -> set[str]:
        """The scores that read one of these parts of `Samples`."""
        names = self.scores.names
        return {n for n in names if set(parts) & set(self.scores.reads(n))}

    def fit_samples(
        self, sample: SegDataSample
    ) -> Iterator[tuple[Samples, Tensor, Tensor | None, set[str]]]:
        """What a predicted image gives to the fit, see `ScoreSet.update`.

        Rows of labelled cells of its windows for scores of features, its
        windows for those of queries, with a label -1 where nothing is known,
        and rows of labelled pixels for the others. Raises ValueError for an
        image without a label.
        """
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{sample.get("img_path")} has no label to fit scores on: add '
                'LoadAnnotations to the pipeline of fit_dataloader'
            )
        label = sample.gt_sem_seg.data[0].to(sample.seg_logits.data.device)
        fitted = set(self.scores.being_fitted)
        if fitted & self._of_windows:
            yield from self._fit_windows(sample, label, fitted)
        if fitted & self._of_pixels:
            yield self._fit_pixels(sample, label, fitted & self._of_pixels)

    def _fit_windows(
        self, sample: SegDataSample, label: Tensor, fitted: set[str]
    ) -> Iterator[tuple[Samples, Tensor, Tensor | None, set[str]]]:
        ignored, key = self._ignored, self._key(sample, label)
        of_cells, of_queries = (
            fitted & names for names in (self._of_cells, self._of_queries)
        )
        windows = labelled_windows(sample, label, ignored)
        for i, (seen, here) in enumerate(windows):
            if of_cells:
                yield *labelled_rows(seen, here, ignored, key, i), of_cells
            if of_queries:
                here = here.masked_fill(here == ignored, -1)
                yield seen, here[None], None, of_queries

    def _fit_pixels(
        self, sample: SegDataSample, label: Tensor, names: set[str]
    ) -> tuple[Samples, Tensor, Tensor, set[str]]:
        logits = class_logits(sample.seg_logits.data)[None]
        of_windows, kind = sample.window_scores, self.scores.kind
        seen = Samples(logits, kind=kind, values=of_windows)
        wanted = self._of_pixels & self.scores.compounded
        of_pixels = row_scores(self.scores, seen, wanted)
        if not names & self.reading('logits'):
            seen = replace(seen, logits=None)
        seen = replace(seen, values={**of_windows, **of_pixels})
        key = self._key(sample, label)
        return *labelled_rows(seen, label, self._ignored, key), names

    @property
    def _ignored(self) -> int:
        return getattr(self.decode_head, 'ignore_index', 255)

    def _key(self, sample: SegDataSample, label: Tensor) -> int:
        return image_key(noise_key(sample.metainfo, label), label)
