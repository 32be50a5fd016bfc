"""Drawings of what a segmentor does not know.

Shapes: H x W pixels; pictures are RGB uint8.
"""

from __future__ import annotations

import mmcv
import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmood.ops import to_float32
from mmood.ops.drawing import PAPER, enlarge, enlarging, strip, text_size
from mmood.registry import VISUALIZERS
from mmood.visualization import (
    color_bar,
    color_map,
    draw_outline,
    finite_range,
    overlay,
)

OBJECT_COLOR = (255, 0, 255)
_ROWS = 3  # of the legend


@VISUALIZERS.register_module()
class OODSegLocalVisualizer(SegLocalVisualizer):
    """Side by side: the image, its classes, its OOD scores in turbo.

    Annotated regions of an OOD set are outlined in magenta on the image; the
    regions above the threshold, where there is one, in white on the scores.
    Infinite scores have the colour of the end, nan is black. Below stand the
    classes that are seen, and a colour bar with the score's name and the
    threshold, the sample's metainfo ``score_name`` and ``ood_threshold``;
    not with ``with_labels=False``. Small images are enlarged by
    `mmood.ops.drawing.enlarging`.

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
        panels = self.panels(
            image, data_sample, draw_gt, draw_pred, with_labels
        )
        drawn = np.concatenate(panels, axis=1)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
        else:
            self.add_image(name, drawn, step)

    def panels(
        self,
        image: np.ndarray,
        data_sample: SegDataSample,
        draw_gt: bool = True,
        draw_pred: bool = True,
        with_labels: bool | None = True,
    ) -> list[np.ndarray]:
        """Those of `add_datasample`, RGB, of one size: image, classes, scores.

        Without the classes or the scores where the sample has none.
        """
        sample = data_sample.cpu()
        to_float32(sample)
        factor = enlarging(*image.shape[:2])
        image = enlarge(image, factor)
        size = text_size(*image.shape[:2])
        panels: list[tuple[np.ndarray, list | np.ndarray]] = [
            self._objects(image, sample, factor, draw_gt)
        ]
        if draw_pred and 'pred_sem_seg' in sample:
            panels.append(self._class_map(image, sample, factor))
        if draw_pred and 'pred_ood' in sample:
            panels.append(self._draw_scores(image, sample, factor, size))
        if not with_labels:
            return [drawn for drawn, _ in panels]
        width = image.shape[1]
        high = color_bar(width, size, (0, 1), None, '').shape[0]
        columns = []
        for drawn, said in panels:
            if isinstance(said, list):
                said = _of_height(strip(width, _ROWS, size, said), high)
            columns.append(np.concatenate([drawn, said]))
        return columns

    def _objects(
        self,
        image: np.ndarray,
        sample: SegDataSample,
        factor: int,
        draw_gt: bool,
    ) -> tuple[np.ndarray, list]:
        """The image, with what is annotated as OOD, and what it is."""
        # In an ID set 1 is a class like others.
        is_ood_set = sample.get('origin', 'id') != 'id'
        if draw_gt and is_ood_set and 'gt_sem_seg' in sample:
            label = sample.gt_sem_seg.data[0].numpy()
            mask = enlarge((label == 1).astype(np.uint8), factor, False)
            if mask.shape == image.shape[:2]:
                image = draw_outline(image, mask, OBJECT_COLOR)
                said = 'annotated as unknown'
                return image, [(None, 'image'), (OBJECT_COLOR, said)]
        return image, [(None, 'image')]

    def _class_map(
        self, image: np.ndarray, sample: SegDataSample, factor: int
    ) -> tuple[np.ndarray, list]:
        """The classes over the image, and the present ones by their size."""
        names, palette = self._classes(_count(sample))
        seen = sample.pred_sem_seg.data[0].numpy()
        seen = enlarge(seen.astype(np.int32), factor, False)
        large = PixelData(data=torch.from_numpy(seen[None].astype(np.int64)))
        drawn = self._draw_sem_seg(image, large, names, palette, False)
        ids, counts = np.unique(seen[seen < len(names)], return_counts=True)
        said = [
            (tuple(map(int, palette[i])), str(names[i]))
            for i in ids[np.argsort(-counts)]
        ]
        return drawn, [(None, 'seen as:'), *said]

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
        self,
        image: np.ndarray,
        sample: SegDataSample,
        factor: int,
        size: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The scores over the image, and their colour bar."""
        score = sample.pred_ood.data[0].numpy()
        ends = self.score_range or finite_range(score)
        colors = enlarge(color_map(score, *ends), factor, False)
        is_ood = sample.pred_ood.is_ood[0].numpy().astype(np.uint8)
        drawn = overlay(image, colors)
        drawn = draw_outline(drawn, enlarge(is_ood, factor, False))
        name = sample.get('score_name') or 'OOD score'
        limit = sample.get('ood_threshold')
        return drawn, color_bar(image.shape[1], size, ends, limit, name)


def _of_height(picture: np.ndarray, height: int) -> np.ndarray:
    """Cut or filled up at the bottom."""
    missing = max(height - len(picture), 0)
    sides = ((0, missing), (0, 0), (0, 0))
    return np.pad(picture[:height], sides, constant_values=PAPER[0])


def class_palette(count: int) -> list[list[int]]:
    """Colours (R, G, B) for so many classes."""
    return color_map(np.arange(count)[None], 0, count, 'tab20')[0].tolist()


def _count(sample: SegDataSample) -> int:
    """Of a sample's classes; one channel stands for two."""
    if 'seg_logits' in sample:
        return max(len(sample.seg_logits.data), 2)
    return int(sample.pred_sem_seg.data.max()) + 1
