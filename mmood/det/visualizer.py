"""Drawings with known and unknown boxes, as in Fig. 4 of DFDD."""

from __future__ import annotations

import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmood.registry import VISUALIZERS
from mmood.visualization.inferencer import to_float32

KNOWN_COLOR = (31, 119, 255)
UNKNOWN_COLOR = (0, 190, 60)
OBJECT_COLOR = (255, 200, 0)


@VISUALIZERS.register_module()
class OODDetLocalVisualizer(DetLocalVisualizer):
    """Known boxes blue with their class, unknown ones green, annotations
    yellow.

    ``pred_instances.is_ood`` says which are unknown; the number behind
    "unknown" is the OOD score. Annotations of OOD sets, whose categories the
    detector does not know, are called "object", whatever their numbers;
    training objects that are flagged OOD "outlier".
    """

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        *args,
        pred_score_thr: float = 0.3,
        **kwargs,
    ) -> None:
        """As the parent; boxes whose confidence reaches the threshold."""
        if data_sample is not None:
            data_sample = data_sample.cpu()
            to_float32(data_sample)
            self._name_objects(data_sample)
            if 'pred_instances' in data_sample:
                boxes = data_sample.pred_instances
                is_drawn = boxes.scores >= pred_score_thr
                is_drawn &= boxes.bboxes.isfinite().all(1)
                data_sample.pred_instances = boxes[is_drawn]
        super().add_datasample(
            name, image, data_sample, *args, pred_score_thr=-1, **kwargs
        )

    def _name_objects(self, sample: DetDataSample) -> None:
        """Give annotations the names to be drawn; the set decides."""
        if 'gt_instances' not in sample:
            return
        objects = sample.gt_instances
        classes = self.dataset_meta.get('classes')
        is_unknown = sample.get('origin', 'id') != 'id'
        objects.label_names = class_names(
            objects.labels, None if is_unknown else classes
        )

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: list[str] | None,
        palette: list[tuple] | None,
    ) -> np.ndarray:
        if 'scores' not in instances:
            names = instances.label_names
            return self._draw(image, instances, names, OBJECT_COLOR)
        is_ood = instances.get('is_ood', instances.scores > np.inf).bool()
        known, unknown = instances[~is_ood], instances[is_ood]
        names = dict(enumerate(classes or ()))
        texts = [
            f'{names.get(int(label), "object")} {score:.2f}'
            for label, score in zip(known.labels, known.scores)
        ]
        image = self._draw(image, known, texts, KNOWN_COLOR)
        scores = unknown.ood_scores if len(unknown) else ()
        texts = [f'unknown {score:.1f}' for score in scores]
        return self._draw(image, unknown, texts, UNKNOWN_COLOR)

    def _draw(
        self,
        image: np.ndarray,
        instances: InstanceData,
        texts: list[str],
        color: tuple,
    ) -> np.ndarray:
        drawn = InstanceData(
            bboxes=instances.bboxes, labels=instances.labels * 0
        )
        drawn.label_names = texts
        return super()._draw_instances(image, drawn, None, [color])


def class_names(labels: np.ndarray, classes: list[str] | None) -> list[str]:
    """Names of annotated objects; 'object' without classes to count.

    The label -1 is that of training objects that are flagged OOD.
    """
    if classes is None or any(int(label) >= len(classes) for label in labels):
        return ['object'] * len(labels)
    names = [*classes, 'outlier']
    return [names[int(label)] for label in labels]
