"""Faster R-CNN that learns the classes of one step after another."""

from __future__ import annotations

import copy
import os.path as osp

import torch
from mmdet.models.detectors import FasterRCNN
from mmdet.structures import SampleList
from mmengine.runner import load_checkpoint
from torch import Tensor

from mmood.registry import MODELS

from .distiller import Comparison, Distiller, recorded_pass


@MODELS.register_module()
class IncrementalFasterRCNN(FasterRCNN):
    """Faster R-CNN with the distillation of incremental detection.

    Put `mmood.GrowingLinear` into its box head.

    Args:
        num_old: classes of all steps before this one, the first of the list;
            0 in the first step, where nothing is distilled and
            ``task_weight`` does not count.
        teacher: checkpoint of the step before, of the same model. Read when
            the training starts, never for a test.
        distillation: the terms and their weights, see `Distiller`; None:
            fine-tuning. iOD: ``dict(backbone=dict(weight=1.0), roi=dict(
            weight=0.2, temperature=6.0, clamp=True))``; Faster ILOD:
            ``dict(adaptive_backbone={}, adaptive_rpn={}, centred_roi={})``.
        task_weight: of the class and box losses of the RoI head beside the
            distillation; 0.8 for iOD.

    The teacher is a frozen copy of the model with ``num_old`` classes seen.
    It is no part of ``state_dict``, of the optimizer or of DDP.

    Sources: Joseph et al., "Incremental Object Detection via
    Meta-Learning", TPAMI 2021; Peng et al., "Faster ILOD", PRL 2020.

    Raises ValueError if a step has something to distil and no teacher, or a
    first step has one; when the training starts, also if the teacher's file
    is missing or of another model.
    """

    def __init__(
        self,
        *args,
        num_old: int = 0,
        teacher: str | None = None,
        distillation: dict | None = None,
        task_weight: float = 1.0,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        seen = _seen(self)
        if not 0 <= num_old <= seen:
            raise ValueError(
                f'num_old must be from 0 to the {seen} classes seen, got '
                f'{num_old}'
            )
        if teacher is not None and num_old == 0:
            raise ValueError(
                f'num_old=0 is a first step, which has no teacher: set '
                f'num_old to the classes that teacher={teacher!r} knows'
            )
        if distillation is not None and num_old > 0 and teacher is None:
            raise ValueError(
                f'distillation with num_old={num_old} needs a teacher: set '
                'teacher to the checkpoint of the step before, or '
                'distillation=None for fine-tuning'
            )
        distiller = None
        if distillation is not None:
            distiller = Distiller(**distillation)
        self.distiller = distiller if num_old > 0 else None
        self.num_old, self.teacher = num_old, teacher
        self.task_weight = task_weight
        # In a tuple: it is not a module of this one.
        self._teacher: tuple = ()

    def init_weights(self) -> None:
        """As the parent; a training calls this, so a bad teacher shows."""
        super().init_weights()
        if self.distiller is not None:
            self._teacher = (self._load_teacher(),)

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> dict:
        if self.distiller is None:
            return super().loss(batch_inputs, batch_data_samples)
        teacher = self._teacher_on(batch_inputs.device)
        with recorded_pass(self) as own:
            losses = super().loss(batch_inputs, batch_data_samples)
        for name in ('loss_cls', 'loss_bbox'):
            losses[name] = self.task_weight * losses[name]
        comparison = Comparison(
            self, own, teacher, batch_inputs, batch_data_samples, self.num_old
        )
        losses.update(self.distiller(comparison))
        return losses

    def _teacher_on(self, device: torch.device) -> FasterRCNN:
        if not self._teacher:
            self._teacher = (self._load_teacher(),)
        teacher = self._teacher[0]
        if next(teacher.parameters()).device != device:
            teacher.to(device)
        return teacher

    def _load_teacher(self) -> FasterRCNN:
        if not osp.isfile(self.teacher):
            raise ValueError(
                f'teacher={self.teacher!r} does not exist: it is the '
                'checkpoint of the step before; run the step before first'
            )
        self._teacher = ()
        teacher = copy.deepcopy(self)
        if hasattr(teacher.roi_head.bbox_head.fc_cls, 'num_seen'):
            teacher.roi_head.bbox_head.fc_cls.num_seen = self.num_old
        try:
            load_checkpoint(teacher, self.teacher, 'cpu', strict=True)
        except RuntimeError as error:
            raise ValueError(
                f'teacher={self.teacher!r} is not a checkpoint of this '
                f'model: train the step before with the same one ({error})'
            ) from error
        teacher.distiller = None
        return teacher.requires_grad_(False).eval()


def _seen(detector: FasterRCNN) -> int:
    """Number of classes that the box head may predict."""
    head = detector.roi_head.bbox_head
    return getattr(head.fc_cls, 'num_seen', head.num_classes)
