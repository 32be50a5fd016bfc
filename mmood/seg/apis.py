"""Inference on images with a trained segmentor."""

from __future__ import annotations

import os.path as osp

import numpy as np
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from mmengine.visualization import Visualizer
from mmseg.apis import MMSegInferencer
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from rich.progress import track

from mmood.launch import for_first_set
from mmood.ops import atomic_write, write_json
from mmood.registry import MODELS  # noqa: F401  (safe checkpoints)
from mmood.seg.models.ood_segmentor import OODEncoderDecoder
from mmood.seg.submission.pipeline import without_labels
from mmood.seg.visualizer import OODSegLocalVisualizer, class_palette
from mmood.visualization.inferencer import (
    PictureInferencer,
    check_batch_size,
    class_names,
)

_LISTED = ('predictions', 'ood_scores', 'is_ood', 'img_path', 'visualization')


class OODSegInferencer(PictureInferencer, MMSegInferencer):
    """Images -> class maps, OOD score maps and masks of the unknown.

    As ``mmseg.apis.MMSegInferencer``; the result also has ``ood_scores``
    (H, W) float32, higher is more OOD, ``is_ood`` (H, W) bool and
    ``img_path``, a list of them for several images, and for all of them
    ``classes``, ``score``, the name of the score that is meant, and
    ``ood_threshold``. With ``out_dir`` drawings go to ``vis``, class maps
    (``NAME_pred.png``), ``NAME_ood.npy``, ``NAME_ood.png`` and ``NAME.json``
    to ``pred``. ::

        inferencer = OODSegInferencer('config.py', 'checkpoint.pth')
        result = inferencer('image.png', out_dir='outputs')
        result['predictions'], result['ood_scores'], result['is_ood']

    Args:
        ood_threshold: score above which a pixel is OOD; None takes the one
            that training stored in the checkpoint (95 % of ID pixels below).
        score_range: scores at the ends of the colormap of the drawings;
            None: the least and the largest of each image.
    """

    wanted = 'the model must be an mmood.OODEncoderDecoder'
    judged = 'pixel'
    show_progress: bool

    def __init__(
        self,
        *args,
        score_range: tuple[float, float] | None = None,
        **kwargs,
    ) -> None:
        self._score_range = score_range
        super().__init__(*args, **kwargs)

    @property
    def part(self) -> OODEncoderDecoder:
        return self.model

    def __call__(
        self,
        inputs: object,
        return_datasamples: bool = False,
        batch_size: int = 1,
        *args,
        **kwargs,
    ) -> dict | SegDataSample | list[SegDataSample]:
        """As the parents, batch by batch, so that only results are kept."""
        check_batch_size(batch_size)
        pictures = self._inputs_to_list(inputs)
        steps = range(0, len(pictures), batch_size)
        batches = [pictures[i : i + batch_size] for i in steps]
        # One bar for all the batches.
        shows, self.show_progress = self.show_progress, False
        watched = track(batches, 'Inference') if shows else batches
        try:
            parts = [
                super(OODSegInferencer, self).__call__(
                    batch, return_datasamples, len(batch), *args, **kwargs
                )
                for batch in watched
            ]
        finally:
            self.show_progress = shows
        if return_datasamples:
            samples = [sample for part in parts for sample in part]
            return samples[0] if len(samples) == 1 else samples
        return _merged(parts, is_single=len(pictures) == 1)

    def _load_weights_to_model(
        self, model: BaseSegmentor, checkpoint: dict | None, cfg: ConfigDict
    ) -> None:
        """The parent's; as many names and colours as there are classes.

        Where a checkpoint has none it takes those of Cityscapes.
        """
        super()._load_weights_to_model(model, checkpoint, cfg)
        count = max(model.num_classes, 2)  # one channel stands for two
        meta = model.dataset_meta
        palette = meta['palette']
        if palette is None or len(palette) != count:
            palette = class_palette(count)
        names = class_names([meta['classes']], count)
        model.dataset_meta = dict(classes=names, palette=palette)

    def _init_pipeline(self, cfg: ConfigDict) -> Compose:
        """The parents', without loading labels."""
        cfg = for_first_set(cfg)
        dataset = cfg.test_dataloader.dataset
        dataset.pipeline = without_labels(dataset.pipeline)
        return super()._init_pipeline(cfg)

    def _init_visualizer(self, cfg: ConfigDict) -> Visualizer:
        return self._build_visualizer(
            cfg, OODSegLocalVisualizer, score_range=self._score_range
        )

    def forward(self, inputs: dict, **kwargs) -> list[SegDataSample]:
        """The parents'; pictures of several sizes go one by one."""
        pictures = inputs['inputs']
        if len({picture.shape for picture in pictures}) < 2:
            return super().forward(inputs, **kwargs)
        singles = (
            {key: parts[i : i + 1] for key, parts in inputs.items()}
            for i in range(len(pictures))
        )
        return [self.forward(one, **kwargs)[0] for one in singles]

    def _scored(self, sample: SegDataSample) -> tuple:
        return sample.pred_ood, '', 'data'

    def visualize(
        self,
        inputs: list,
        preds: list[SegDataSample],
        return_vis: bool = False,
        show: bool = False,
        img_out_dir: str = '',
        **kwargs,
    ) -> list[np.ndarray] | None:
        draw = super().visualize
        return self._draw(
            draw, inputs, preds, img_out_dir, show, return_vis, **kwargs
        )

    def postprocess(
        self,
        preds: list[SegDataSample],
        visualization: list[np.ndarray] | None,
        return_datasample: bool = False,
        pred_out_dir: str = '',
    ) -> dict | list[SegDataSample]:
        """Lists of the results of a batch, or its samples."""
        about = dict(
            classes=self.model.dataset_meta['classes'],
            score=self._score,
            ood_threshold=self._threshold,
        )
        results = dict(
            predictions=[p.pred_sem_seg.cpu().data[0].numpy() for p in preds],
            ood_scores=[p.pred_ood.data[0].cpu().numpy() for p in preds],
            is_ood=[p.pred_ood.is_ood[0].cpu().numpy() for p in preds],
            img_path=[p.get('img_path') for p in preds],
        )
        if pred_out_dir:
            for sample, *maps, path in zip(preds, *results.values()):
                stem = osp.join(pred_out_dir, sample.output_name)
                self._save(stem, *maps)
                said = dict(img_path=path, **about)
                write_json(f'{stem}.json', said)
        if return_datasample:
            return preds
        return {**results, **about, 'visualization': visualization or []}

    def _save(
        self,
        stem: str,
        classes: np.ndarray,
        scores: np.ndarray,
        is_ood: np.ndarray,
    ) -> None:
        kind = np.uint8 if classes.max() < 256 else np.uint16
        self._write_picture(f'{stem}_pred.png', classes.astype(kind))
        self._write_picture(f'{stem}_ood.png', 255 * is_ood.astype(np.uint8))
        with atomic_write(f'{stem}_ood.npy', 'wb') as file:
            np.save(file, scores)


def _merged(parts: list[dict], is_single: bool) -> dict:
    """The results of all batches; of a single picture without lists."""
    merged: dict = dict.fromkeys(_LISTED, [])
    for part in parts:
        lists = {key: merged[key] + part[key] for key in _LISTED}
        merged = {**part, **lists}
    if not is_single:
        return merged
    single = {key: merged[key][0] for key in _LISTED if merged[key]}
    return {**merged, **single}
