"""Inference on images with a trained detector."""

from __future__ import annotations

import math
import os.path as osp
from typing import cast

import numpy as np
from mmdet.apis import DetInferencer
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.visualization import Visualizer

from mmood.hooks.scored import scored
from mmood.launch import for_first_set, metric_configs
from mmood.ops import write_json
from mmood.registry import MODELS  # noqa: F401  (safe checkpoints)
from mmood.visualization.inferencer import (
    PictureInferencer,
    check_batch_size,
    class_names,
    number,
)

from .evaluation.kept_boxes import counting_boxes
from .models.adapter import BoxAdapter
from .visualizer import OODDetLocalVisualizer


class OODDetInferencer(PictureInferencer, DetInferencer):
    """Images or a folder -> boxes that also say how unknown they are.

    As ``mmdet.apis.DetInferencer``; each prediction also has ``img_path``
    and, box by box, ``class_names``, ``counts`` (whether an evaluation at
    ``score_threshold`` counts it), ``ood_scores`` (higher is more OOD) and
    ``is_ood``; ``score`` names the score that is meant and ``ood_threshold``
    its limit. ::

        inferencer = OODDetInferencer('config.py', 'checkpoint.pth')
        result = inferencer('images/', out_dir='outputs')
        result['predictions'][0]['is_ood']

    Args:
        ood_threshold: score above which a box is OOD; None takes the one
            that training stored in the checkpoint (95 % of ID boxes below).
    """

    wanted = 'the detector must have scores, as in an mmood.OODHead'
    judged = 'box'

    @property
    def part(self) -> BoxAdapter:
        return cast(BoxAdapter, scored(self.model) or self.model)

    def __call__(
        self,
        inputs: object,
        batch_size: int = 1,
        *args,
        pred_score_thr: float | None = None,
        **kwargs,
    ) -> dict:
        """As the parents; ``pred_score_thr`` is what counts and is drawn.

        A box counts by the best class of its RoI and is drawn by its own.

        None takes the confidence that training stored in the checkpoint, or
        0.3 where it has none.
        """
        if pred_score_thr is None:
            stored = float(self.part.score_threshold)
            pred_score_thr = 0.3 if math.isnan(stored) else stored
        check_batch_size(batch_size)
        self._confidence = number(pred_score_thr, 'pred_score_thr')
        return super().__call__(
            inputs,
            batch_size,
            *args,
            pred_score_thr=self._confidence,
            **kwargs,
        )

    def _load_weights_to_model(
        self, model: BaseDetector, checkpoint: dict | None, cfg: ConfigDict
    ) -> None:
        """The parent's, which needs no annotation file of a single set.

        Where a checkpoint has no class names it takes COCO's, whatever the
        number of classes; here they have to fit.
        """
        cfg = for_first_set(cfg)
        super()._load_weights_to_model(model, checkpoint, cfg)
        part = scored(model)
        if part is not None:
            info = cfg.test_dataloader.dataset.get('metainfo') or {}
            options = (model.dataset_meta['classes'], info.get('classes'))
            model.dataset_meta['classes'] = class_names(
                options, part.scores.num_classes
            )

    def _init_visualizer(self, cfg: ConfigDict) -> Visualizer:
        metrics = metric_configs(cfg.get('test_evaluator'))
        self._protocol = next(
            (m['protocol'] for m in metrics if 'protocol' in m), 'vos'
        )
        return self._build_visualizer(cfg, OODDetLocalVisualizer)

    def _scored(self, sample: DetDataSample) -> tuple:
        return sample.pred_instances, 'ood_scores_', 'ood_scores'

    def visualize(
        self,
        inputs: list,
        preds: list[DetDataSample],
        img_out_dir: str = '',
        no_save_vis: bool = False,
        show: bool = False,
        return_vis: bool = False,
        **kwargs,
    ) -> list[np.ndarray] | None:
        writes = img_out_dir and not no_save_vis
        folder = osp.join(img_out_dir, 'vis') if writes else ''
        draw = super().visualize
        return self._draw(
            draw, inputs, preds, folder, show, return_vis, **kwargs
        )

    def postprocess(
        self,
        preds: list[DetDataSample],
        *args,
        no_save_pred: bool = False,
        pred_out_dir: str = '',
        **kwargs,
    ) -> dict:
        for sample in () if no_save_pred or not pred_out_dir else preds:
            name = f'{sample.output_name}.json'
            path = osp.join(pred_out_dir, 'preds', name)
            write_json(path, self.pred2dict(sample))
        return super().postprocess(preds, *args, no_save_pred=True, **kwargs)

    def pred2dict(
        self, data_sample: DetDataSample, pred_out_dir: str = ''
    ) -> dict:
        boxes = data_sample.pred_instances
        names = dict(enumerate(self.model.dataset_meta['classes']))
        labels = boxes.labels.tolist()
        counts = counting_boxes(
            boxes.scores,
            boxes.max_class_scores,
            self._confidence,
            self._protocol,
        )
        return dict(
            img_path=data_sample.get('img_path'),
            **super().pred2dict(data_sample),
            class_names=[names.get(label, 'unknown') for label in labels],
            counts=counts.tolist(),
            ood_scores=boxes.ood_scores.tolist(),
            is_ood=boxes.is_ood.tolist(),
            score=self._score,
            ood_threshold=self._threshold,
            score_threshold=self._confidence,
        )
