"""Distillation: losses of a student that differs from its teacher.

Shapes: N rows (RoIs), K columns (classes), A anchors, maps (B, C, H, W).

Every function is differentiable in the student alone, computes in float32 at
least, and gives 0 with a gradient for empty inputs. The sums are divided by
the student's own count of rows, pixels or anchors, or by ``avg_factor``: give
the mean count over all ranks so that n processes equal one. Raises ValueError
where student and teacher differ in shape.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmood.ops import or_one, raised


def kl_distillation(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    clamp: bool = False,
    avg_factor: float | Tensor | None = None,
) -> Tensor:
    """``T^2 / N`` times the sum of ``p_t (log p_t - log p_s)``, nats.

    Logits (N, K) twice -> scalar; ``p = softmax(logits / T)``. That is a KL
    divergence >= 0, unless ``clamp``: then each element of the sum is cut at
    0 first, as the public code of iOD does. This is not a divergence any
    more: it is larger, and its gradient pulls up the classes that the
    student says too little of, without pushing the others down directly.
    Sources: Hinton et al., "Distilling the Knowledge in a Neural Network",
    2015, Sec. 2; Joseph et al., "Incremental Object Detection via
    Meta-Learning", TPAMI 2021, with T = 6. Raises ValueError if
    ``temperature`` is not positive.
    """
    if temperature <= 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    student, teacher = _pair(student, teacher)
    log_s = (student / temperature).log_softmax(1)
    log_t = (teacher / temperature).log_softmax(1)
    elements = F.kl_div(log_s, log_t, reduction='none', log_target=True)
    if clamp:
        elements = elements.clamp(min=0)
    return temperature**2 * elements.sum() / _rows(student, avg_factor)


def squared_distillation(
    student: Tensor,
    teacher: Tensor,
    avg_factor: float | Tensor | None = None,
) -> Tensor:
    """Mean squared difference of two (N, K) or two maps, a scalar >= 0.

    The mean over dimension 1 is the own one; ``avg_factor`` stands for the
    number of rows or pixels.
    """
    student, teacher = _pair(student, teacher)
    columns = max(student.shape[1], 1)
    total = (student - teacher).square().sum()
    return total / (columns * _rows(student, avg_factor))


def centred_logit_distillation(
    student: Tensor,
    teacher: Tensor,
    avg_factor: float | Tensor | None = None,
) -> Tensor:
    """Mean squared difference of logits (N, K) less their row's mean.

    A scalar >= 0. K are the classes that the teacher knows, background
    included. Source: ILOD, Shmelkov et al., "Incremental Learning of Object
    Detectors without Catastrophic Forgetting", ICCV 2017.
    """
    student, teacher = _pair(student, teacher)
    return squared_distillation(
        student - student.mean(1, keepdim=True),
        teacher - teacher.mean(1, keepdim=True),
        avg_factor,
    )


def adaptive_feature_distillation(
    student: Tensor,
    teacher: Tensor,
    avg_factor: float | Tensor | None = None,
) -> Tensor:
    """Mean of ``max(teacher - student, 0)`` of zero-mean maps (B, C, H, W).

    A scalar >= 0: only what the teacher sees and the student has lost
    counts. Each image's maps are centred by their own mean, so that the loss
    does not depend on which images share a batch. Source: Faster ILOD, Peng
    et al., "Faster ILOD: Incremental Learning for Object Detectors based on
    Faster RCNN", Pattern Recognition Letters 2020.
    """
    student, teacher = _pair(student, teacher)
    lost = _centred_maps(teacher) - _centred_maps(student)
    columns = max(student.shape[1], 1)
    return lost.relu().sum() / (columns * _rows(student, avg_factor))


def adaptive_rpn_distillation(
    objectness: Tensor,
    deltas: Tensor,
    teacher_objectness: Tensor,
    teacher_deltas: Tensor,
    threshold: float = 0.1,
    avg_factor: float | Tensor | None = None,
) -> Tensor:
    """What the proposal network rates lower than its teacher, squared.

    Objectness logits (A,) and box deltas (A, 4), twice -> scalar >= 0, mean
    over the anchors of ``max(o_t - o_s, 0)^2`` and, where ``o_t - o_s`` is
    above ``threshold``, of the squared length of the difference of the
    deltas. Source: Faster ILOD (PRL 2020).
    """
    objectness, teacher_objectness = _pair(objectness, teacher_objectness)
    deltas, teacher_deltas = _pair(deltas, teacher_deltas)
    lost = teacher_objectness - objectness
    moved = (teacher_deltas - deltas).square().sum(1)
    moved = moved[lost.detach() > threshold]
    total = lost.relu().square().sum() + moved.sum()
    return total / _rows(deltas, avg_factor)


def _pair(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32 at least, the teacher without a gradient."""
    if student.shape != teacher.shape:
        raise ValueError(
            'student and teacher must have one shape, got '
            f'{tuple(student.shape)} and {tuple(teacher.shape)}: they must be '
            'compared on the same samples and the same classes'
        )
    student = raised(student)
    return student, teacher.detach().to(student)


def _centred_maps(maps: Tensor) -> Tensor:
    return maps - maps.mean((1, 2, 3), keepdim=True)


def _rows(values: Tensor, avg_factor: float | Tensor | None) -> float | Tensor:
    """Number of rows (N) or pixels, or what replaces it; 1 for none."""
    if avg_factor is None:
        avg_factor = values.numel() / max(values.shape[1], 1)
    return or_one(avg_factor)
