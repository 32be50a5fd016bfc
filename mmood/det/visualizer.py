"""Drawings with known and unknown boxes, as in Fig. 4 of DFDD."""

from __future__ import annotations

import numpy as np
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmood.registry import VISUALIZERS

KNOWN_COLOR = (31, 119, 255)
UNKNOWN_COLOR = (0, 190, 60)
OBJECT_COLOR = (255, 200, 0)


@VISUALIZERS.register_module()
class OODDetLocalVisualizer(DetLocalVisualizer):
    """Known boxes blue with their class, unknown ones green, annotations
    yellow.

    What is unknown stands in ``pred_instances.is_ood``; the number behind
    "unknown" is the OOD score. Annotations of OOD sets, whose categories the
    detector does not know, are called "object", training objects that are
    flagged OOD "outlier".
    """

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: list[str] | None,
        palette: list[tuple] | None,
    ) -> np.ndarray:
        if 'is_ood' not in instances:
            names = _class_names(instances.labels, classes)
            return self._draw(image, instances, names, OBJECT_COLOR)
        is_ood = instances.is_ood.bool()
        known, unknown = instances[~is_ood], instances[is_ood]
        names = _class_names(known.labels, classes)
        texts = [
            f'{name} {score:.2f}' for name, score in zip(names, known.scores)
        ]
        image = self._draw(image, known, texts, KNOWN_COLOR)
        texts = [f'unknown {score:.1f}' for score in unknown.ood_scores]
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


def _class_names(labels: np.ndarray, classes: list[str] | None) -> list[str]:
    if classes is None or any(int(label) >= len(classes) for label in labels):
        return ['object'] * len(labels)
    names = [*classes, 'outlier']  # the label of outliers is -1
    return [names[int(label)] for label in labels]
