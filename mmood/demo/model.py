"""A model that is asked once for each picture, and what it answered.

Shapes: pictures H x W; BGR where they come in, RGB where they go out.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData
from mmengine.visualization import Visualizer
from torch import Tensor

from mmood.launch import is_segmentor
from mmood.ops.drawing import PAPER, WHITE, enlarge, enlarging, text_size
from mmood.recipe import load
from mmood.visualization import draw_outline

from . import markup
from .verdicts import Span, box_verdicts, class_shares, span

_OWN_RULE = (
    'This model calls things unknown by a rule of its own; here the limit '
    'alone decides.'
)


@dataclass(frozen=True)
class Judged:
    """What a limit makes of an answer: pictures, counts and a table."""

    pictures: list[np.ndarray]
    counts: str
    table: str


class Model:
    """A detector or segmentor of a config and a checkpoint.

    ``names`` are those of its scores, ``limits`` their thresholds, nan where
    the checkpoint has none, ``confidence`` the least of a box that counts,
    None of a segmentor. One at a time may ask: an inferencer has a state.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | os.PathLike,
        device: str | None = None,
    ) -> None:
        cfg = config if isinstance(config, Config) else load(config)
        self.is_segmentor = is_segmentor(cfg)
        if self.is_segmentor:
            from mmood.seg import OODSegInferencer as Inferencer
        else:
            from mmood.det import OODDetInferencer as Inferencer
        self._ask = Inferencer(
            cfg, weights=os.fspath(checkpoint), device=device
        )
        self._ask.show_progress = False
        self._lock = threading.Lock()
        part = self._ask.part
        first = part.scores.first
        self.names = sorted(part.scores.names, key=lambda name: name != first)
        self.limits = {
            name: float(part.scores.thresholds[name]) for name in self.names
        }
        meta = self._ask.model.dataset_meta
        self._ask.visualizer.dataset_meta = meta
        self.classes = list(meta['classes'])
        self.confidence = None
        if not self.is_segmentor:
            stored = float(cast(Tensor, part.score_threshold))
            self.confidence = stored if stored == stored else 0.3

    def __call__(self, picture: np.ndarray) -> Answer:
        """What it says of a picture, with all its scores."""
        with self._lock:
            answer: Any = self._ask(picture, return_datasamples=True)
        found: BaseDataElement = answer
        if isinstance(answer, dict):  # a detector's
            found = answer['predictions'][0]
        kind = MapAnswer if self.is_segmentor else BoxAnswer
        return kind(
            self, np.ascontiguousarray(picture[..., ::-1]), found.cpu()
        )

    @property
    def visualizer(self) -> Visualizer:
        return self._ask.visualizer


class Answer:
    """What a model said of a picture, to be judged as often as one likes."""

    def __init__(
        self, model: Model, image: np.ndarray, sample: BaseDataElement
    ) -> None:
        self.model, self.image, self.sample = model, image, sample
        first = model.names[0]
        plain = self.scores(first) > model.limits[first]
        self.notes = () if (plain == self._is_ood()).all() else (_OWN_RULE,)

    def scores(self, name: str) -> np.ndarray:
        """Of all boxes (N,) or pixels (H, W), higher is more OOD."""
        raise NotImplementedError

    def _is_ood(self) -> np.ndarray:
        """What the model itself calls unknown."""
        raise NotImplementedError

    def span(self, name: str) -> Span:
        """The slider for a score."""
        return span(self.scores(name), self.model.limits[name])

    def judged(self, name: str, limit: float, least: float) -> Judged:
        """By a score and a limit; ``least`` is the confidence of boxes."""
        raise NotImplementedError

    def _say(self, name: str, limit: float) -> None:
        known = None if limit != limit else limit
        said = dict(score_name=name, ood_threshold=known)
        self.sample.set_metainfo(said)


class BoxAnswer(Answer):
    """A detector's."""

    def scores(self, name: str) -> np.ndarray:
        return self.sample.pred_instances[f'ood_scores_{name}'].numpy()

    def _is_ood(self) -> np.ndarray:
        return self.sample.pred_instances.is_ood.numpy()

    def judged(self, name: str, limit: float, least: float) -> Judged:
        boxes = self.sample.pred_instances
        boxes.ood_scores = boxes[f'ood_scores_{name}']
        boxes.is_ood = boxes.ood_scores > limit
        self._say(name, limit)
        drawn = self.model.visualizer.drawn(
            self.image, self.sample, draw_gt=False, pred_score_thr=least
        )
        kept = boxes[boxes.scores >= least]
        names = dict(enumerate(self.model.classes))
        found = box_verdicts(
            [names.get(label, 'unknown') for label in kept.labels.tolist()],
            kept.scores.tolist(),
            kept.ood_scores.tolist(),
            limit,
        )
        counts = markup.box_counts(found, self.notes)
        return Judged([drawn], counts, markup.box_table(found, name))


class MapAnswer(Answer):
    """A segmentor's."""

    def __init__(
        self, model: Model, image: np.ndarray, sample: BaseDataElement
    ) -> None:
        if 'seg_logits' in sample:
            # The visualizer needs but their number, they the most memory.
            few = sample.seg_logits.data[:, :1, :1].clone()
            sample.seg_logits = PixelData(data=few)
        super().__init__(model, image, sample)

    def scores(self, name: str) -> np.ndarray:
        return self.sample.pred_ood.get(name)[0].numpy()

    def _is_ood(self) -> np.ndarray:
        return self.sample.pred_ood.is_ood[0].numpy()

    def judged(self, name: str, limit: float, least: float) -> Judged:
        maps = self.sample.pred_ood
        maps.data = maps.get(name)
        maps.is_ood = maps.data > limit
        self._say(name, limit)
        _, classes, scores = self.model.visualizer.panels(
            self.image, self.sample, draw_gt=False
        )
        is_unknown = maps.is_ood[0].numpy()
        shares = class_shares(
            self.model.classes,
            self.sample.pred_sem_seg.data[0].numpy(),
            is_unknown,
        )
        share = float(is_unknown.mean())
        return Judged(
            [striped(classes, is_unknown), scores],
            markup.pixel_counts(share, self.notes),
            markup.class_table(shares),
        )


def striped(panel: np.ndarray, is_unknown: np.ndarray) -> np.ndarray:
    """A visualizer's panel with stripes on the unknown, and no empty end.

    The panel is that of an image of the size of ``is_unknown`` (H, W),
    enlarged, with a legend below.
    """
    factor = enlarging(*is_unknown.shape)
    mask = enlarge(is_unknown.astype(np.uint8), factor, False).astype(bool)
    height, width = mask.shape
    size = text_size(height, width)
    rows, columns = np.ogrid[:height, :width]
    stripes = mask & ((rows + columns) % size < size // 3)
    drawn = panel.copy()
    drawn[:height][stripes] = WHITE
    drawn[:height] = draw_outline(drawn[:height], mask, WHITE)
    written = np.flatnonzero((panel != PAPER).any((1, 2)))
    return drawn[: written[-1] + size if written.size else height]
