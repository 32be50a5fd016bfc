"""Drawings with known and unknown boxes, as in Fig. 4 of DFDD."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.dist import master_only
from mmengine.structures import InstanceData

from mmood.ops import to_float32
from mmood.ops.drawing import (
    enlarge,
    enlarging,
    rows_needed,
    strip,
    text_size,
)
from mmood.registry import VISUALIZERS
from mmood.visualization.boxes import DrawnBox, draw_boxes
from mmood.visualization.words import rule, unknown

KNOWN_COLOR = (31, 119, 255)
UNKNOWN_COLOR = (0, 190, 60)
OBJECT_COLOR = (255, 200, 0)


@dataclass
class _Panel:
    """Boxes to be drawn on one copy of the picture."""

    instances: InstanceData
    texts: list[str]
    colors: list[tuple]
    legend: list[tuple]

    def corners(self) -> np.ndarray:
        boxes = self.instances.bboxes
        return getattr(boxes, 'tensor', boxes).numpy()


@VISUALIZERS.register_module()
class OODDetLocalVisualizer(DetLocalVisualizer):
    """Known boxes blue with their class, unknown ones green, annotations
    yellow, what that means below.

    ``pred_instances.is_ood`` says which are unknown. Behind "unknown" stands
    the class that the box would have had, and how far its score lies above
    the limit: the sample's metainfo ``ood_threshold``, of the score
    ``score_name``. Annotations of OOD sets, whose categories the detector
    does not know, are called "object", whatever their numbers; training
    objects that are flagged OOD "outlier". Small pictures are enlarged by
    `mmood.ops.drawing.enlarging`. All pictures of one size are drawn in one
    size. Masks are not drawn.

    Args:
        line_width: pixels of a box's edge on a picture whose text is small.
        legend: whether to say below what the colours mean.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *args,
        line_width: int = 2,
        legend: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(name, *args, line_width=line_width, **kwargs)
        self.legend = legend

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """As the parent; boxes whose confidence reaches the threshold."""
        drawn = self.drawn(
            image, data_sample, draw_gt, draw_pred, pred_score_thr
        )
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(drawn[..., ::-1], out_file)
        else:
            self.add_image(name, drawn, step)

    def drawn(
        self,
        image: np.ndarray,
        data_sample: DetDataSample | None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        pred_score_thr: float = 0.3,
    ) -> np.ndarray:
        """The picture of `add_datasample`, RGB, which nothing else gets."""
        image = image.clip(0, 255).astype(np.uint8)
        if data_sample is None:
            return image
        sample = data_sample.cpu()
        to_float32(sample)
        factor = enlarging(*image.shape[:2])
        image = enlarge(image, factor)
        panels = []
        if draw_gt and 'gt_instances' in sample:
            panels.append(self._objects(sample))
        if draw_pred and 'pred_instances' in sample:
            panels.append(self._predictions(sample, pred_score_thr))
        return self._joined(image, panels, factor)

    def _objects(self, sample: DetDataSample) -> _Panel:
        """The set decides how annotated objects are called."""
        objects = sample.gt_instances
        is_unknown = sample.get('origin', 'id') != 'id'
        classes = self._classes()
        texts = class_names(objects.labels, None if is_unknown else classes)
        said = 'annotated, of no known class' if is_unknown else 'annotated'
        colors = [OBJECT_COLOR] * len(texts)
        return _Panel(objects, texts, colors, [(OBJECT_COLOR, said)])

    def _predictions(self, sample: DetDataSample, confidence: float) -> _Panel:
        boxes = sample.pred_instances
        is_drawn = boxes.scores >= confidence
        is_drawn &= boxes.bboxes.isfinite().all(1)
        boxes = boxes[is_drawn]
        is_ood = boxes.get('is_ood', boxes.scores > np.inf).bool()
        # What matters most lies on top and finds the best places for text.
        order = (boxes.scores + 2 * is_ood).argsort()
        boxes, is_ood = boxes[order], is_ood[order].tolist()
        limit = sample.get('ood_threshold')
        limit = math.nan if limit is None else float(limit)
        names = dict(enumerate(self._classes() or ()))
        texts = []
        for i, label in enumerate(boxes.labels.tolist()):
            if is_ood[i]:
                score = float(boxes.ood_scores[i])
                texts.append(unknown(names.get(label), score, limit))
            else:
                name = names.get(label, 'object')
                texts.append(f'{name} {float(boxes.scores[i]):.2f}')
        colors = [UNKNOWN_COLOR if one else KNOWN_COLOR for one in is_ood]
        said = rule(sample.get('score_name'), limit)
        legend = [
            (KNOWN_COLOR, 'known: class, confidence'),
            (UNKNOWN_COLOR, f'unknown: {said}'),
        ]
        return _Panel(boxes, texts, colors, legend)

    def _joined(
        self, image: np.ndarray, panels: list[_Panel], factor: int
    ) -> np.ndarray:
        """The panels side by side, of one height."""
        if not panels:
            return image
        size, width = text_size(*image.shape[:2]), image.shape[1]
        edge = max(1, round(self.line_width * size / 14))
        rows = max(rows_needed(one.legend, width, size) for one in panels)
        drawn = []
        for one in panels:
            parts = zip(one.corners() * factor, one.texts, one.colors)
            boxes = [DrawnBox(*each) for each in parts]
            panel = draw_boxes(image, boxes, edge)
            if self.legend:
                below = strip(width, rows, size, one.legend)
                panel = np.concatenate([panel, below])
            drawn.append(panel)
        return np.concatenate(drawn, axis=1)

    def _classes(self) -> list[str] | None:
        meta = self.dataset_meta
        return meta.get('classes') if isinstance(meta, Mapping) else None


def class_names(labels: np.ndarray, classes: list[str] | None) -> list[str]:
    """Names of annotated objects; 'object' without classes to count.

    The label -1 is that of training objects that are flagged OOD.
    """
    if classes is None or any(int(label) >= len(classes) for label in labels):
        return ['object'] * len(labels)
    names = [*classes, 'outlier']
    return [names[int(label)] for label in labels]
