"""A detector in training beside its teacher, and what is compared.

Shapes: R RoIs of all images, K classes of all steps, O of them old.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from mmood.det.models.roi_tools import record_calls
from mmood.ops import rank_count

from .distillation import (
    adaptive_feature_distillation,
    adaptive_rpn_distillation,
    centred_logit_distillation,
    kl_distillation,
    squared_distillation,
)


@dataclass
class Pass:
    """What a detector makes of a batch on the way to its losses."""

    backbone: Sequence[Tensor]  # a map (B, C, H, W) of each level
    maps: Sequence[Tensor]  # what RPN and RoI head get
    rpn: tuple  # objectness and box deltas of each level
    rois: Tensor | None = None  # (R, 5)
    logits: Tensor | None = None  # (R, K + 1)
    deltas: Tensor | None = None  # (R, 4 K), or (R, 4) for all classes


@contextmanager
def recorded_pass(detector: TwoStageDetector) -> Iterator[Pass]:
    """The `Pass` of a training step inside, filled in at its end."""
    head, result = detector.roi_head, Pass((), (), ())
    with ExitStack() as stack:
        parts = (detector.backbone, detector.rpn_head, head.bbox_head)
        calls = [stack.enter_context(record_calls(part)) for part in parts]
        extractor = record_calls(head.bbox_roi_extractor, which=1)
        rois = stack.enter_context(extractor)
        yield result
    # Only the first calls: later ones are on blurred or deblurred maps.
    result.backbone = calls[0][0][1]
    result.maps, result.rpn = calls[1][0]
    result.rois = rois[0][0]
    result.logits, result.deltas = calls[2][0][1]


@torch.no_grad()
def teacher_pass(teacher: TwoStageDetector, inputs: Tensor) -> Pass:
    """The teacher's `Pass` so far, without RoIs."""
    with record_calls(teacher.backbone) as calls:
        maps = teacher.extract_feat(inputs)
    return Pass(calls[0][1], maps, teacher.rpn_head(maps))


def outputs_on(
    detector: TwoStageDetector, maps: Sequence[Tensor], rois: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits and deltas of a box head on RoIs (R, 5)."""
    result = detector.roi_head._bbox_forward(maps, rois)
    return result['cls_score'], result['bbox_pred']


def least_background(
    background: Tensor, sizes: Sequence[int], num: int, of: int
) -> Tensor:
    """Indices of ``num`` RoIs of each image, drawn from its ``of`` surest.

    ``background`` (R,) is their probability of showing nothing, ``sizes``
    are the images' numbers of RoIs. All are taken where there are fewer.
    """
    chosen, start = [], 0
    for part in background.split(list(sizes)):
        surest = part.argsort(stable=True)[:of]
        drawn = torch.randperm(len(surest))[:num].to(surest.device)
        chosen.append(start + surest[drawn])
        start += len(part)
    return torch.cat(chosen)


class Comparison:
    """A student's training step, and its teacher on the same images."""

    def __init__(
        self,
        student: TwoStageDetector,
        own: Pass,
        teacher: TwoStageDetector,
        inputs: Tensor,
        samples: SampleList,
        num_old: int,
    ) -> None:
        self.student, self.own = student, own
        self.teacher, self.its = teacher, teacher_pass(teacher, inputs)
        self.samples, self.num_old = samples, num_old

    def backbone(self) -> Tensor:
        """`squared_distillation`, mean over the backbone's levels."""
        return self._over_levels(squared_distillation)

    def adaptive_backbone(self) -> Tensor:
        """`adaptive_feature_distillation`, mean over the levels."""
        return self._over_levels(adaptive_feature_distillation)

    def adaptive_rpn(self, threshold: float = 0.1) -> Tensor:
        """`adaptive_rpn_distillation` over the anchors of all levels."""
        own, its = _anchors(*self.own.rpn), _anchors(*self.its.rpn)
        factor = _mean_count(own[0])
        return adaptive_rpn_distillation(*own, *its, threshold, factor)

    def roi(self, temperature: float = 6.0, clamp: bool = True) -> Tensor:
        """iOD's: `kl_distillation` of the old classes' logits + boxes.

        On the RoIs that the student learns from; boxes: mean squared
        difference of the deltas. The defaults are those of the public code,
        which gives the teacher's box head the student's pooled maps; here it
        pools its own.
        """
        with torch.no_grad():
            its = outputs_on(self.teacher, self.its.maps, self.own.rois)
        target, target_deltas = self._of_old(*its)
        logits, deltas = self._of_old(self.own.logits, self.own.deltas)
        factor = _mean_count(logits)
        return kl_distillation(
            logits[:, :-1], target[:, :-1], temperature, clamp, factor
        ) + squared_distillation(deltas, target_deltas, factor)

    def centred_roi(self, num: int = 64, of: int = 128) -> Tensor:
        """ILOD's: `centred_logit_distillation` with background + boxes.

        On ``num`` RoIs of each image, drawn from the ``of`` proposals of the
        teacher that it rates background least; boxes: mean over RoIs and old
        classes of the squared length of the difference of the deltas.
        """
        rois, target, target_deltas = self._sure_rois(num, of)
        logits, deltas = self._of_old(
            *outputs_on(self.student, self.own.maps, rois)
        )
        factor = _mean_count(logits)
        return centred_logit_distillation(
            logits, target, factor
        ) + 4 * squared_distillation(deltas, target_deltas, factor)

    def _over_levels(self, distillation: Callable) -> Tensor:
        losses = [
            distillation(own, its, _mean_count(own[:, 0]))
            for own, its in zip(self.own.backbone, self.its.backbone)
        ]
        return sum(losses) / len(losses)

    @torch.no_grad()
    def _sure_rois(self, num: int, of: int) -> tuple[Tensor, Tensor, Tensor]:
        """RoIs (R, 5) with the teacher's outputs for the old classes."""
        found = self.teacher.rpn_head.predict_by_feat(
            *self.its.rpn,
            batch_img_metas=[sample.metainfo for sample in self.samples],
        )
        rois = bbox2roi([proposals.bboxes for proposals in found])
        logits, deltas = outputs_on(self.teacher, self.its.maps, rois)
        kept = least_background(
            logits.softmax(1)[:, -1], [len(f) for f in found], num, of
        )
        return rois[kept], *self._of_old(logits[kept], deltas[kept])

    def _of_old(self, logits: Tensor, deltas: Tensor) -> tuple:
        """Logits (R, O + 1), with background, and deltas (R, 4 O or 4)."""
        logits = torch.cat([logits[:, : self.num_old], logits[:, -1:]], 1)
        if not self.teacher.roi_head.bbox_head.reg_class_agnostic:
            deltas = deltas[:, : 4 * self.num_old]
        return logits, deltas


_TERMS = {
    name: {'weight', *list(inspect.signature(term).parameters)[1:]}
    for name, term in vars(Comparison).items()
    if not name.startswith('_')
}


class Distiller:
    """Weighted sum of the terms of a `Comparison`, one loss each.

    Args:
        terms: of each term, a method of `Comparison`, its arguments and its
            ``weight``, 1 by default; one that is None is left out.

    Raises ValueError for an unknown term or argument, or without any term.
    """

    def __init__(self, **terms: dict | None) -> None:
        terms = {n: term for n, term in terms.items() if term is not None}
        if not terms:
            raise ValueError(
                f'distillation has no term: name some of {sorted(_TERMS)}, '
                'or set it to None'
            )
        for name, arguments in terms.items():
            if name not in _TERMS:
                raise ValueError(
                    f'distillation has the term {name!r}; known are '
                    f'{sorted(_TERMS)}'
                )
            if set(arguments) - _TERMS[name]:
                raise ValueError(
                    f'distillation.{name} has the arguments '
                    f'{sorted(arguments)}; known are {sorted(_TERMS[name])}'
                )
        self.terms = terms

    def __call__(self, comparison: Comparison) -> dict[str, Tensor]:
        """Losses by name, ``loss_distill_<term>``."""
        losses = {}
        for name, arguments in self.terms.items():
            arguments = dict(arguments)
            weight = arguments.pop('weight', 1.0)
            loss = getattr(comparison, name)(**arguments)
            losses[f'loss_distill_{name}'] = weight * loss
        return losses


def _anchors(
    objectness: Sequence[Tensor], deltas: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Maps (B, a, H, W) and (B, 4 a, H, W) of levels to (A,) and (A, 4)."""
    parts = [
        torch.cat([level.permute(0, 2, 3, 1).reshape(-1, n) for level in maps])
        for n, maps in ((1, objectness), (4, deltas))
    ]
    return parts[0].squeeze(1), parts[1]


def _mean_count(values: Tensor) -> Tensor:
    """Mean number of rows, or of pixels of (B, H, W), over the ranks."""
    return rank_count(values.flatten() if values.dim() == 3 else values)
