"""What the inferencers of detection and of segmentation share.

Shapes: H x W pixels.
"""

from __future__ import annotations

import copy
import math
import os
import os.path as osp
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from torch import nn

from mmood.checkpoint import check_weights
from mmood.families import type_name
from mmood.launch import for_first_set
from mmood.ops import carry, to_float32
from mmood.ops.pictures import (
    OutputNames,
    drawing_name,
    list_pictures,
    write_picture,
)
from mmood.recipe import load, resolve

from .picture_loader import PictureLoader

_LOADER = 'LoadImageFromFile'


class PictureInferencer(BaseInferencer):
    """To stand before a task's inferencer among the bases of a class.

    Pictures are those of `list_pictures`. Predictions are in float32, judged
    by the threshold of the call, and have the metainfo ``output_name``, the
    stem of the files that are made of them, ``score_name`` and
    ``ood_threshold``, which is None where there is none.
    """

    wanted: str  # what the model must be to have thresholds
    judged: str  # what is called OOD

    def __init__(
        self,
        model: str | Path | Config | None = None,
        *args,
        ood_threshold: float | None = None,
        **kwargs,
    ) -> None:
        self._all_names: dict[str, OutputNames] = defaultdict(OutputNames)
        self._sources: set[str] = set()
        if isinstance(model, (str, Path)) and osp.isfile(model):
            model = load(model)
        elif isinstance(model, Config):
            model = resolve(model)
        super().__init__(model, *args, **kwargs)
        if not hasattr(self.part, 'scores'):
            raise ValueError(f'{self.wanted}, got {type(self.part).__name__}')
        first = self.part.scores.first
        threshold = self.part.scores.thresholds[first]
        if ood_threshold is not None:
            threshold.fill_(number(ood_threshold))
        if threshold.isnan():
            self._warn_without(first, 'the checkpoint has no ood_threshold')

    @property
    def part(self) -> Any:
        """What has the `mmood.scores.ScoreSet`, as ``scores``."""
        raise NotImplementedError

    def __call__(
        self,
        inputs: object,
        *args,
        out_dir: str = '',
        ood_threshold: float | None = None,
        score: str | None = None,
        **kwargs,
    ) -> Any:
        """As the parent; ``ood_threshold`` and ``score`` hold for this call.

        Args:
            out_dir: folder for what is drawn and said; '': none.
            ood_threshold: what has a higher score is OOD; None: the
                inferencer's or, of another score, the checkpoint's.
            score: name of the score to judge by; None: the first one.
        """
        out_dir = os.fspath(out_dir)
        self._names = self._all_names[osp.abspath(out_dir)]
        with self._judging(ood_threshold, score):
            return super().__call__(inputs, *args, out_dir=out_dir, **kwargs)

    @contextmanager
    def _judging(
        self, threshold: float | None, score: str | None
    ) -> Iterator[None]:
        """Judge so meanwhile; the model's own threshold comes back."""
        scores = self.part.scores
        score = scores.first if score is None else score
        if score not in scores.names:
            raise ValueError(
                f'score must be one of {sorted(scores.names)}, got {score!r}'
            )
        buffer = scores.thresholds[score]
        stored = buffer.clone()
        if threshold is not None:
            buffer.fill_(number(threshold))
        self._score, self._is_given = score, threshold is not None
        self._threshold = None if buffer.isnan() else buffer.item()
        if self._threshold is None and score != scores.first:
            reason = f'the checkpoint has no threshold of the score {score!r}'
            self._warn_without(score, reason)
        try:
            yield
        finally:
            buffer.copy_(stored)

    def _warn_without(self, score: str, reason: str) -> None:
        reason = self.part.scores.thresholds.reasons.get(score, reason)
        warnings.warn(
            f'{reason}, no {self.judged} will be called OOD: pass '
            'ood_threshold, or run tools/fit_scores.py with this config',
            stacklevel=4,
        )

    def _judge(self, sample: BaseDataElement) -> None:
        """Turn to the call's score, unless it is the one of the model."""
        element, prefix, values = self._scored(sample)
        limit = math.nan if self._threshold is None else self._threshold
        if self._score != self.part.scores.first:
            scores = element.get(prefix + self._score)
            element.set_data({values: scores, 'is_ood': scores > limit})
        is_above = element.get(values) > limit
        if self._is_given and (element.is_ood != is_above).any():
            warnings.warn(
                f'{type(self.part).__name__} calls a {self.judged} OOD by a '
                'rule of its own, on which ood_threshold has no effect',
                stacklevel=2,
            )

    def _scored(self, sample: BaseDataElement) -> tuple:
        """What has the scores, their names' prefix, the judged one's name."""
        raise NotImplementedError

    def _load_weights_to_model(
        self,
        model: nn.Module,
        checkpoint: dict | None,
        cfg: Config | ConfigDict,
    ) -> None:
        """The parent's; some weight at least must be the model's."""
        if checkpoint is not None:
            check_weights(model, checkpoint)
        super()._load_weights_to_model(model, checkpoint, cfg)

    def _init_pipeline(self, cfg: Config | ConfigDict) -> Compose:
        """The parent's, of the first set; samples carry their path."""
        cfg = for_first_set(cfg)
        for step in cfg.test_dataloader.dataset.pipeline:
            if type_name(step).rsplit('.', 1)[-1] == _LOADER:
                step['type'] = _LOADER  # as the parents look for it
        pipeline = super()._init_pipeline(cfg)
        for i, step in enumerate(pipeline.transforms):
            if type(step).__name__ == 'InferencerLoader':
                self._load = pipeline.transforms[i] = PictureLoader(step)
        carry(pipeline.transforms, ['img_path'])
        return pipeline

    def _init_collate(self, cfg: Config | ConfigDict) -> Callable:
        """MMEngine's; the parent warns that it looks for one in vain."""
        return pseudo_collate

    def _build_visualizer(
        self, cfg: Config | ConfigDict, kind: type, **options
    ) -> Visualizer:
        """Of a kind of ours, whatever the config says or leaves out."""
        cfg = copy.deepcopy(cfg)
        cfg.visualizer = dict(
            cfg.get('visualizer') or {},
            type=f'mmood.{kind.__name__}',
            vis_backends=None,  # the files are written here
            **options,
        )
        cfg.visualizer.setdefault('name', 'visualizer')
        return super()._init_visualizer(cfg)

    def _inputs_to_list(self, inputs: object) -> list[str | np.ndarray]:
        pictures = list_pictures(inputs)
        paths = [one for one in pictures if isinstance(one, str)]
        self._sources |= {osp.realpath(path) for path in paths}
        return pictures

    def forward(self, inputs: dict, **kwargs) -> list[BaseDataElement]:
        samples = super().forward(inputs, **kwargs)
        for sample in samples:
            to_float32(sample)
            self._judge(sample)
            path = sample.get('img_path')
            said = dict(score_name=self._score, ood_threshold=self._threshold)
            sample.set_metainfo(dict(output_name=self._names(path), **said))
            self._report_nan(sample, path)
        return samples

    def _report_nan(self, sample: BaseDataElement, path: str | None) -> None:
        element, _, values = self._scored(sample)
        count = int(element.get(values).isnan().sum())
        if count:
            warnings.warn(
                f'{path or "an array"}: the score {self._score!r} of {count} '
                f'{self.judged} is no number (nan), which is not called OOD',
                stacklevel=2,
            )

    def _draw(
        self,
        draw: Callable,
        inputs: list[str | np.ndarray],
        preds: list[BaseDataElement],
        folder: str,
        show: bool,
        return_vis: bool,
        **kwargs,
    ) -> list[np.ndarray] | None:
        """What ``draw`` makes of the pictures as the model saw them, RGB.

        Written to the folder unless it is ''; None if nobody wants any.
        """
        if not (folder or show or return_vis):
            return None
        pictures = [self._load.picture(one)[..., ::-1] for one in inputs]
        drawn = draw(pictures, preds, show=show, return_vis=True, **kwargs)
        for sample, picture in zip(preds, drawn if folder else ()):
            path = sample.get('img_path')
            name = drawing_name(sample.output_name, path)
            self._write_picture(osp.join(folder, name), picture)
        return drawn if return_vis else None

    def _write_picture(self, path: str, picture: np.ndarray) -> None:
        if osp.realpath(path) in self._sources:
            raise ValueError(
                f'{path} is one of the pictures to look at and would be '
                'overwritten: choose another out_dir'
            )
        write_picture(path, picture)


def number(value: float, argument: str = 'ood_threshold') -> float:
    """Also of a word; ValueError, with the argument, for nan or no number."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if math.isnan(found):
        raise ValueError(f'{argument} must be a number, got {value!r}')
    return found


def check_batch_size(value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(
            f'batch_size must be a whole number from 1, got {value!r}'
        )


def class_names(options: Iterable, count: int) -> list[str]:
    """The first of the lists of names that fits ``count`` classes.

    Numbers, with a warning, if none does.
    """
    for names in options:
        names = (names,) if isinstance(names, str) else names
        if names is not None and len(names) == count:
            return [str(name) for name in names]
    warnings.warn(
        f'neither checkpoint nor config names the {count} classes of the '
        'model: they have numbers. Store dataset_meta=dict(classes=...) in '
        "the checkpoint's 'meta', or set metainfo of the test's first set",
        stacklevel=2,
    )
    return [f'class {number}' for number in range(count)]
