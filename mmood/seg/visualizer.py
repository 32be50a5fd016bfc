"""Drawings of what a segmentor does not know.

Shapes: H x W pixels; pictures are RGB uint8.
"""

from __future__ import annotations

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmood.registry import VISUALIZERS
from mmood.visualization import (
    color_map,
    draw_outline,
    finite_range,
    overlay,
)
from mmood.visualization.inferencer import to_float32

OBJECT_COLOR = (255, 0, 255)


@VISUALIZERS.register_module()
class OODSegLocalVisualizer(SegLocalVisualizer):
    """Side by side: the image, its classes, its OOD scores in turbo.

    Annotated regions of an OOD set are outlined in magenta on the image; the
    regions above the threshold, where there is one, in white on the scores.
    Infinite scores have the colour of the end, nan is black.

    Args:
        score_range: scores at the two ends of the colormap; None: the least
            and the largest of each image.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *args,
        score_range: tuple[float, float] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(name, *args, **kwargs)
        self.score_range = score_range

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        with_labels: bool | None = True,
    ) -> None:
        """As the parent, for a sample of a set of ours or with a score."""
        is_ours = data_sample is not None and (
            'pred_ood' in data_sample or 'origin' in data_sample
        )
        if not is_ours:
            super().add_datasample(
                name, image, data_sample, draw_gt, draw_pred, show,
                wait_time, out_file, step, with_labels,
            )  # fmt: skip
            return
        data_sample = data_sample.cpu()
        to_float32(data_sample)
        drawn = self._panels(
            image, data_sample, draw_gt, draw_pred, with_labels
        )
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
        else:
            self.add_image(name, drawn, step)

    def _panels(
        self,
        image: np.ndarray,
        sample: SegDataSample,
        draw_gt: bool,
        draw_pred: bool,
        with_labels: bool | None,
    ) -> np.ndarray:
        panels = [image]
        # In an ID set 1 is a class like others.
        is_ood_set = sample.get('origin', 'id') != 'id'
        if draw_gt and is_ood_set and 'gt_sem_seg' in sample:
            label = sample.gt_sem_seg.data[0].numpy()
            if label.shape == image.shape[:2]:
                panels = [draw_outline(image, label == 1, OBJECT_COLOR)]
        if draw_pred and 'pred_sem_seg' in sample:
            names, palette = self._classes(_count(sample))
            panels.append(
                self._draw_sem_seg(
                    image, sample.pred_sem_seg, names, palette, with_labels
                )
            )
        if draw_pred and 'pred_ood' in sample:
            panels.append(self._draw_scores(image, sample.pred_ood))
        return np.concatenate(panels, axis=1)

    def _classes(self, count: int) -> tuple:
        """Names and colours; numbers if the names are those of an OOD set.

        A test's loop hands over the metainfo of its first set.
        """
        names = self.dataset_meta.get('classes') or ()
        palette = self.dataset_meta.get('palette') or ()
        if len(names) != count:
            names = [str(i) for i in range(count)]
            palette = ()
        fits = len(palette) == count
        return names, palette if fits else class_palette(count)

    def _draw_scores(
        self, image: np.ndarray, pred_ood: PixelData
    ) -> np.ndarray:
        score = pred_ood.data[0].numpy()
        ends = self.score_range or finite_range(score)
        picture = overlay(image, color_map(score, *ends))
        return draw_outline(picture, pred_ood.is_ood[0].numpy())


def class_palette(count: int) -> list[list[int]]:
    """Colours (R, G, B) for so many classes."""
    return color_map(np.arange(count)[None], 0, count, 'tab20')[0].tolist()


def _count(sample: SegDataSample) -> int:
    """Of a sample's classes; one channel stands for two."""
    if 'seg_logits' in sample:
        return max(len(sample.seg_logits.data), 2)
    return int(sample.pred_sem_seg.data.max()) + 1
