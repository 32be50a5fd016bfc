"""What the images of a segmentor give to scores that are fitted.

Shapes: H x W pixels, (top, left, bottom, right) of a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mmseg.structures import SegDataSample
from torch import Tensor

from mmood.scores import Samples, class_logits

from .windows import (
    image_key,
    label_as_seen,
    labelled_rows,
    noise_key,
    row_scores,
)


class FitRows:
    """Part of a segmentor with scores, before its parent class."""

    def fit_samples(
        self, sample: SegDataSample
    ) -> Iterator[tuple[Samples, Tensor, Tensor, set[str]]]:
        """What a predicted image gives to the fit, see `ScoreSet.update`.

        Rows of labelled cells of its windows for scores of features, and of
        labelled pixels for the others. Raises ValueError for an image
        without a label.
        """
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{sample.get("img_path")} has no label to fit scores on: add '
                'LoadAnnotations to the pipeline of fit_dataloader'
            )
        logits = class_logits(sample.seg_logits.data)[None]
        label = sample.gt_sem_seg.data[0].to(logits.device)
        ignored = getattr(self.decode_head, 'ignore_index', 255)
        key = image_key(noise_key(sample.metainfo, label), label)
        names = self._of_windows & set(self.scores.being_fitted)
        if names:
            size, meta = sample.windows[-1][0][2:], sample.metainfo
            whole = label_as_seen(label, meta, size, ignored)
            for i, (box, seen) in enumerate(sample.windows):
                top, left, bottom, right = box
                here = whole[top:bottom, left:right]
                yield *labelled_rows(seen, here, ignored, key, i), names
        names = self._of_pixels & set(self.scores.being_fitted)
        if names:
            of_windows, kind = sample.window_scores, self.scores.kind
            seen = Samples(logits, kind=kind, values=of_windows)
            wanted = self._of_pixels & self.scores.compounded
            of_pixels = row_scores(self.scores, seen, wanted)
            if not names & self._reading('logits'):
                logits = None
            values = {**of_windows, **of_pixels}
            seen = replace(seen, logits=logits, values=values)
            yield *labelled_rows(seen, label, ignored, key), names
