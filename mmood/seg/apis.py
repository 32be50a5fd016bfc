"""Inference on images with a trained segmentor."""

from __future__ import annotations

import copy
import os.path as osp
import warnings

import mmcv
import numpy as np
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from mmengine.visualization import Visualizer
from mmseg.apis import MMSegInferencer
from mmseg.structures import SegDataSample

from mmood.ops import atomic_write
from mmood.registry import MODELS  # noqa: F401  (safe checkpoints)
from mmood.seg.visualizer import OODSegLocalVisualizer

_LOADERS = ('LoadOODAnnotations', 'LoadAnnotations')


class OODSegInferencer(MMSegInferencer):
    """Images -> class maps, OOD score maps and masks of the unknown.

    As ``mmseg.apis.MMSegInferencer``; the result also has ``ood_scores``
    (H, W) float32, higher is more OOD, and ``is_ood`` (H, W) bool, a list of
    them for several images. With ``out_dir`` drawings go to ``vis``, class
    maps, ``NAME_ood.npy`` and ``NAME_ood.png`` to ``pred``. ::

        inferencer = OODSegInferencer('config.py', 'checkpoint.pth')
        result = inferencer('image.png', out_dir='outputs')
        result['predictions'], result['ood_scores'], result['is_ood']

    Args:
        ood_threshold: score above which a pixel is OOD; None takes the one
            that training stored in the checkpoint (95 % of ID pixels below).
        score_range: scores at the ends of the colormap of the drawings;
            None: the least and the largest of each image.
    """

    def __init__(
        self,
        model: str | None = None,
        weights: str | None = None,
        *args,
        ood_threshold: float | None = None,
        score_range: tuple[float, float] | None = None,
        **kwargs,
    ) -> None:
        self._score_range = score_range
        super().__init__(model, weights, *args, **kwargs)
        if not hasattr(self.model, 'ood_threshold'):
            raise ValueError(
                'the model must be an mmood.OODEncoderDecoder, got '
                f'{type(self.model).__name__}'
            )
        if ood_threshold is not None:
            self.model.ood_threshold.fill_(ood_threshold)
        if self.model.ood_threshold.isnan():
            warnings.warn(
                'the checkpoint has no ood_threshold, no pixel will be '
                'called OOD: pass ood_threshold, or run tools/fit_scores.py',
                stacklevel=2,
            )

    def _init_pipeline(self, cfg: ConfigDict) -> Compose:
        """The parent's, of the first set of a ConcatDataset, unlabelled."""
        cfg = copy.deepcopy(cfg)
        dataset = cfg.test_dataloader.dataset
        if 'datasets' in dataset:
            dataset = cfg.test_dataloader.dataset = dataset.datasets[0]
        dataset.pipeline = [
            transform
            for transform in dataset.pipeline
            if transform['type'].split('.')[-1] not in _LOADERS
        ]
        return super()._init_pipeline(cfg)

    def _init_visualizer(self, cfg: ConfigDict) -> Visualizer | None:
        cfg = copy.deepcopy(cfg)
        cfg.visualizer = dict(
            cfg.get('visualizer', {}),
            type=f'mmood.{OODSegLocalVisualizer.__name__}',
            score_range=self._score_range,
        )
        cfg.visualizer.setdefault('name', 'visualizer')
        return super()._init_visualizer(cfg)

    def postprocess(
        self,
        preds: list[SegDataSample],
        visualization: list[np.ndarray] | None,
        return_datasample: bool = False,
        pred_out_dir: str = '',
    ) -> dict | SegDataSample | list[SegDataSample]:
        number = self.num_pred_imgs
        results = super().postprocess(
            preds, visualization, return_datasample, pred_out_dir
        )
        if return_datasample:
            return results
        scores = [p.pred_ood.data[0].float().cpu().numpy() for p in preds]
        masks = [p.pred_ood.is_ood[0].cpu().numpy() for p in preds]
        if pred_out_dir:
            for i, (score, mask) in enumerate(zip(scores, masks), number):
                path = osp.join(pred_out_dir, f'{i:08d}_ood')
                with atomic_write(f'{path}.npy', 'wb') as file:
                    np.save(file, score)
                mmcv.imwrite(255 * mask.astype(np.uint8), f'{path}.png')
        is_single = len(preds) == 1
        results['ood_scores'] = scores[0] if is_single else scores
        results['is_ood'] = masks[0] if is_single else masks
        return results
