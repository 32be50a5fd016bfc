"""Filters of generated outliers that ask a detector."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.apis import inference_detector, init_detector
from mmdet.models.detectors import BaseDetector
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmood.hooks.check_data import head_classes
from mmood.ops import check_class_names
from mmood.registry import PAINTERS


@PAINTERS.register_module()
class Recognised:
    """Discards paintings in which a detector still finds the ID object.

    Measures the largest confidence, in [0, 1], of a detection that overlaps
    the box and has its class; 0 if there is none. Detections below the
    ``score_thr`` in the config's ``test_cfg`` count as none.

    Args:
        config, checkpoint: of a detector trained on the ID classes.
        max_confidence: the most that is kept, in [0, 1].
        iou: least overlap with the box, in [0, 1].
        device: None takes the GPU of this rank, or the CPU without one.
        any_class: count detections of every class of the detector.

    Labels are those of the names that are stored with the weights, whatever
    the order of the categories of the painted set. Raises ValueError for
    limits out of range and for a checkpoint whose class names do not fit the
    model.
    """

    name = 'recognised'

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        *,
        max_confidence: float = 0.5,
        iou: float = 0.5,
        device: str | None = None,
        any_class: bool = False,
    ) -> None:
        for key, value in (('max_confidence', max_confidence), ('iou', iou)):
            if not 0 <= value <= 1:
                raise ValueError(f'{key} must be in [0, 1], got {value}')
        self.max_confidence = max_confidence
        self.iou = iou
        self.any_class = any_class
        self.model = init_detector(
            copy.deepcopy(config),
            str(checkpoint),
            palette='random',  # or the test set is built, which may be absent
            device=device or _own_device(),
        )
        self.classes = _class_names(self.model, checkpoint)
        self.pipeline = _array_pipeline(self.model.cfg)

    def check_classes(self, classes: list[str]) -> None:
        """Raise ValueError for classes that the detector does not know."""
        unknown = sorted(set(classes) - set(self.classes))
        if unknown and not self.any_class:
            raise ValueError(
                f'the detector of Recognised does not know {unknown}, only '
                f'{list(self.classes)}: take one trained on the ID classes, '
                'or set any_class=True'
            )

    def __call__(
        self, before: np.ndarray, after: np.ndarray, box: tuple, label: str
    ) -> float:
        self.check_classes([label])
        bgr = np.ascontiguousarray(after[..., ::-1])
        found = inference_detector(self.model, bgr, self.pipeline)
        found = found.pred_instances.cpu()
        target = found.bboxes.new_tensor([box])
        is_hit = bbox_overlaps(found.bboxes, target)[:, 0] >= self.iou
        if not self.any_class:
            is_hit &= found.labels == self.classes.index(label)
        return float(found.scores[is_hit].max()) if is_hit.any() else 0.0

    def keeps(self, value: float) -> bool:
        return value <= self.max_confidence


def _own_device() -> str:
    if not torch.cuda.is_available():
        return 'cpu'
    return f'cuda:{os.environ.get("LOCAL_RANK", 0)}'


def _class_names(model: BaseDetector, checkpoint: str | Path) -> list[str]:
    """Those stored with the weights; mmdet assumes COCO's where none are."""
    loaded = CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')
    meta = loaded.get('meta', {})
    names = []
    if {'dataset_meta', 'CLASSES'} & set(meta):
        names = check_class_names(model.dataset_meta['classes'])
    for head, count in head_classes(model).items():
        if count != len(names):
            raise ValueError(
                f'checkpoint {checkpoint} names {len(names)} classes, and '
                f'model.{head} has {count}: store '
                "dataset_meta=dict(classes=...) in its 'meta', in the order "
                'of its labels'
            )
    return names


def _array_pipeline(cfg: Config) -> Compose:
    """The test pipeline, fed with an image instead of a file name."""
    steps = copy.deepcopy(get_test_pipeline_cfg(cfg))
    steps[0].type = 'mmdet.LoadImageFromNDArray'
    return Compose(steps)
