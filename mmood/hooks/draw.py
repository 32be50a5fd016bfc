"""Draw what a test predicts."""

from __future__ import annotations

import math
import os.path as osp
from collections import defaultdict
from collections.abc import Mapping, Sequence

import mmcv
from mmengine import fileio
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mmood.ops.pictures import OutputNames, drawing_name
from mmood.registry import HOOKS

from .after_training import unwrapped
from .calibrate import thresholds
from .scored import scored

_CONFIDENCE = 0.3  # where nothing says from which one boxes count


@HOOKS.register_module()
class OODVisualizationHook(Hook):
    """Draw the images of a test, a folder for each set.

    In the place of mmdet's and mmseg's hooks, with the same arguments.
    Boxes are drawn from the confidence from which they count: the one that
    the test finds, hence after it, else the checkpoint's. Class names are
    those that the checkpoint was trained with. Of several processes the
    first one draws its own images.

    Args:
        draw: whether to draw at all.
        interval: number of validation batches of which the first image is
            drawn to the visualizer's backends, as ``val_SET_NAME``: the same
            images each time.
        score_thr: confidence to draw boxes from; None: see above. Boxes with
            masks, which are too large to wait, take the checkpoint's.
        show: also show the images in windows, ``wait_time`` seconds each.
        test_out_dir: folder, each image going to ``SET/NAME`` in it; None:
            the visualizer's backends.
        backend_args: of the files to read.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        score_thr: float | None = None,
        show: bool = False,
        wait_time: float = 0.0,
        test_out_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        self.draw, self.interval, self.show = draw, interval, show
        self.score_thr, self.wait_time = score_thr, wait_time
        self.test_out_dir, self.backend_args = test_out_dir, backend_args
        self._trained_on: dict = {}
        self._val_names: dict[str, OutputNames] = defaultdict(OutputNames)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
        self._trained_on = {k: v for k, v in meta.items() if v is not None}

    def before_test(self, runner: Runner) -> None:
        if not self.draw:
            return
        self._names: dict[str, OutputNames] = defaultdict(OutputNames)
        self._waiting: list[BaseDataElement] = []
        visualizer = runner.visualizer
        if 'classes' in self._trained_on:
            set_meta = visualizer.dataset_meta
            own = set_meta if isinstance(set_meta, Mapping) else {}
            visualizer.dataset_meta = {**own, **self._trained_on}
        if self.show:  # as the stock hooks: windows instead of backends
            visualizer._vis_backends = {}
        if get_world_size() > 1:
            runner.logger.warning(
                'only the images of the first process are drawn: test with '
                'one process to see all of them'
            )

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict,
        outputs: Sequence[BaseDataElement],
    ) -> None:
        if self.draw and batch_idx % self.interval == 0:
            sample = outputs[0]
            name = self._backend_name(self._val_names, sample)
            self._draw(runner, sample, f'val_{name}', self._confidence(runner))

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict,
        outputs: Sequence[BaseDataElement],
    ) -> None:
        for sample in outputs if self.draw and is_main_process() else ():
            boxes = sample.get('pred_instances')
            if boxes is None or 'masks' in boxes or self.score_thr is not None:
                self._draw_to_file(runner, sample, self._confidence(runner))
            else:
                self._waiting.append(sample.cpu())

    def after_test_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        if self.draw:
            confidence = self._confidence(runner, metrics)
            for sample in self._waiting:
                self._draw_to_file(runner, sample, confidence)
            self._waiting = []

    def _confidence(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> float:
        """From which boxes count."""
        if self.score_thr is not None:
            return self.score_thr
        key = 'ood/score_threshold'
        stored = dict(thresholds(unwrapped(runner))).get(key, math.nan)
        found = float((metrics or {}).get(key, stored))
        return _CONFIDENCE if math.isnan(found) else found

    def _draw_to_file(
        self, runner: Runner, sample: BaseDataElement, confidence: float
    ) -> None:
        if self.test_out_dir is None:
            name = self._backend_name(self._names, sample)
            self._draw(runner, sample, name, confidence)
            return
        origin, path = sample.get('origin', ''), sample.img_path
        name = drawing_name(self._names[origin](path), path)
        file = osp.join(self.test_out_dir, origin, name)
        if osp.realpath(file) == osp.realpath(path):
            raise ValueError(
                f'the drawing of {path} would overwrite it: choose another '
                'folder than that of the images'
            )
        self._draw(runner, sample, name, confidence, file)

    def _backend_name(
        self, names: dict[str, OutputNames], sample: BaseDataElement
    ) -> str:
        origin = sample.get('origin', '')
        stem = names[origin](sample.img_path)
        return f'{origin}_{stem}' if origin else stem

    def _draw(
        self,
        runner: Runner,
        sample: BaseDataElement,
        name: str,
        confidence: float,
        file: str | None = None,
    ) -> None:
        content = fileio.get(sample.img_path, backend_args=self.backend_args)
        options = dict(show=self.show, wait_time=self.wait_time)
        part = scored(unwrapped(runner))
        if part is not None:
            score = part.scores.first
            limit = part.scores.thresholds[score].item()
            said = dict(score_name=score, ood_threshold=limit)
            sample.set_metainfo(said)
        if 'pred_instances' in sample:
            options['pred_score_thr'] = confidence
        runner.visualizer.add_datasample(
            name,
            mmcv.imfrombytes(content, channel_order='rgb'),
            data_sample=sample,
            out_file=file,
            step=runner.iter,
            **options,
        )
