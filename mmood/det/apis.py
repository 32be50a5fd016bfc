"""Inference on images with a trained detector."""

from __future__ import annotations

import copy
import math
import os.path as osp
import warnings

import mmengine
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from mmengine.visualization import Visualizer
from torch import nn

from mmood.det.visualizer import OODDetLocalVisualizer
from mmood.registry import MODELS  # noqa: F401  (safe checkpoints)


class OODDetInferencer(DetInferencer):
    """Images or a folder -> boxes that also say how unknown they are.

    As ``mmdet.apis.DetInferencer``; each prediction also has
    ``ood_scores`` (higher is more OOD) and ``is_ood``. ::

        inferencer = OODDetInferencer('config.py', 'checkpoint.pth')
        result = inferencer('images/', out_dir='outputs')
        result['predictions'][0]['is_ood']

    Args:
        ood_threshold: score above which a box is OOD; None takes the one
            that training stored in the checkpoint (95 % of ID boxes below).
    """

    def __init__(
        self,
        model: str | None = None,
        weights: str | None = None,
        *args,
        ood_threshold: float | None = None,
        **kwargs,
    ) -> None:
        super().__init__(model, weights, *args, **kwargs)
        head = getattr(self.model, 'roi_head', None)
        if not hasattr(head, 'ood_threshold'):
            raise ValueError(
                'model.roi_head must be an mmood.OODRoIHead, got '
                f'{type(head).__name__}'
            )
        if ood_threshold is not None:
            head.ood_threshold.fill_(ood_threshold)
        if head.ood_threshold.isnan():
            warnings.warn(
                'the checkpoint has no ood_threshold, no box will be called '
                'OOD: pass ood_threshold, or train with '
                'mmood.CalibrateOODHook in custom_hooks',
                stacklevel=2,
            )

    def __call__(
        self,
        inputs: object,
        *args,
        pred_score_thr: float | None = None,
        **kwargs,
    ) -> dict:
        """As the parent; boxes are drawn from ``pred_score_thr``.

        None takes the confidence that training stored in the checkpoint, or
        0.3 where it has none.
        """
        if pred_score_thr is None:
            stored = float(self.model.roi_head.score_threshold)
            pred_score_thr = 0.3 if math.isnan(stored) else stored
        return super().__call__(
            inputs, *args, pred_score_thr=pred_score_thr, **kwargs
        )

    def _init_pipeline(self, cfg: ConfigDict) -> Compose:
        """The parent's, of the first (ID) set of a ConcatDataset."""
        return super()._init_pipeline(_with_first_test_set(cfg))

    def _load_weights_to_model(
        self, model: nn.Module, checkpoint: dict | None, cfg: ConfigDict
    ) -> None:
        """The parent's, which needs no annotation file of a single set."""
        cfg = _with_first_test_set(cfg)
        super()._load_weights_to_model(model, checkpoint, cfg)

    def _init_visualizer(self, cfg: ConfigDict) -> Visualizer | None:
        cfg = copy.deepcopy(cfg)
        cfg.visualizer = dict(
            cfg.get('visualizer', {}),
            type=f'mmood.{OODDetLocalVisualizer.__name__}',
        )
        cfg.visualizer.setdefault('name', 'visualizer')
        return super()._init_visualizer(cfg)

    def pred2dict(
        self, data_sample: DetDataSample, pred_out_dir: str = ''
    ) -> dict:
        path = data_sample.get('img_path')
        number = self.num_predicted_imgs
        result = super().pred2dict(data_sample, pred_out_dir)
        instances = data_sample.pred_instances
        result['ood_scores'] = instances.ood_scores.tolist()
        result['is_ood'] = instances.is_ood.tolist()
        if pred_out_dir:
            stem = (
                str(number)
                if path is None
                else osp.splitext(osp.basename(path))[0]
            )
            out_file = osp.join(pred_out_dir, 'preds', f'{stem}.json')
            mmengine.dump(result, out_file)
        return result


def _with_first_test_set(cfg: ConfigDict) -> ConfigDict:
    """The config as if the first (ID) set were all there is to test on."""
    cfg = copy.deepcopy(cfg)
    dataset = cfg.test_dataloader.dataset
    if 'datasets' in dataset:
        cfg.test_dataloader.dataset = dataset.datasets[0]
    return cfg
