"""Objects flagged OOD under heads that assign priors or queries to objects.

The flag is a negative label. As a RoI on a flagged object under an
`mmood.OODRoIHead`, a prior or query there has no class, objectness or box
loss and does not count in their averages: to the head it is ignored, neither
an object nor background.

Shapes: n priors or queries of an image, m objects, K known classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from mmdet.models.task_modules import AssignResult, BaseAssigner
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn


def with_flagged(
    samples: Sequence[DetDataSample],
) -> tuple[list[DetDataSample], bool]:
    """Samples with all flagged objects in ``gt_instances``; if there are any.

    Those that `PackOODInputs` packed apart come back from
    ``ignored_instances``. The given samples do not change. Waits for the
    device once.
    """
    flags = [sample.gt_instances.labels < 0 for sample in samples]
    apart = [sample.get('ignored_instances') for sample in samples]
    apart = [
        one if one is not None and 'ood' in one else None for one in apart
    ]
    flags += [one.ood for one in apart if one is not None]
    if not torch.cat(flags).any():
        return list(samples), False
    pairs = zip(samples, apart)
    return [_joined(*p) if p[1] is not None else p[0] for p in pairs], True


def _joined(sample: DetDataSample, ignored: InstanceData) -> DetDataSample:
    found = sample.new()
    parts = [
        InstanceData(bboxes=part.bboxes, labels=part.labels)
        for part in (sample.gt_instances, ignored[ignored.ood])
    ]
    found.gt_instances = InstanceData.cat(parts)
    found.ignored_instances = ignored[~ignored.ood]
    return found


class FlagAssigner:
    """An assigner whose priors or queries on flagged objects are ignored.

    Flagged objects compete with the known ones for them. Where that goes by
    classes too, a flagged object stands for the class that the prediction
    says that overlaps it most.

    ``flagged`` (n,) bool are those on flagged objects in the last call; None
    if there was none.
    """

    def __init__(self, assigner: BaseAssigner, num_classes: int) -> None:
        self._assigner, self._num_classes = assigner, num_classes
        self.flagged: Tensor | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._assigner, name)

    def assign(self, *args, **kwargs) -> AssignResult:
        assign = self._assigner.assign
        call = inspect.signature(assign).bind(*args, **kwargs)
        objects = call.arguments['gt_instances']
        if not len(objects):
            return assign(*args, **kwargs)
        is_ood = objects.labels < 0
        seen = seen_classes(
            call.arguments['pred_instances'], objects.bboxes, self._num_classes
        )
        call.arguments['gt_instances'] = objects.new()
        call.arguments['gt_instances'].labels = torch.where(
            is_ood, seen, objects.labels
        )
        result = assign(*call.args, **call.kwargs)
        # An object's number counts from 1, 0 is background, -1 ignored.
        numbers = result.gt_inds
        self.flagged = (numbers > 0) & is_ood[(numbers - 1).clamp(min=0)]
        result.gt_inds = numbers.masked_fill(self.flagged, -1)
        return result


def seen_classes(
    predicted: InstanceData, boxes: Tensor, num_classes: int
) -> Tensor:
    """Class (m,) of what overlaps a box most; 0 without predictions."""
    boxes = get_box_tensor(boxes)
    if 'scores' not in predicted:
        return torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    overlaps = bbox_overlaps(get_box_tensor(predicted.bboxes), boxes)
    scores = predicted.scores[overlaps.argmax(0), :num_classes]
    return scores.argmax(1)


@contextmanager
def without_negatives(*losses: nn.Module | None) -> Iterator[None]:
    """Rows with a negative target do not count in losses inside.

    For heads that call them with rows (n, .) and targets (n,) or (n, 1)
    and no weights.
    """
    with ExitStack() as stack:
        for loss in losses:
            if loss is not None:
                handle = loss.register_forward_pre_hook(_drop_negatives)
                stack.callback(handle.remove)
        yield


def _drop_negatives(_: nn.Module, inputs: tuple) -> tuple | None:
    if len(inputs) != 2 or not isinstance(inputs[1], Tensor):
        return None
    rows, targets = inputs
    counts = targets.reshape(len(targets), -1).amin(1) >= 0
    return rows[counts], targets[counts]


def is_taught(
    losses: Mapping[str, Tensor | list[Tensor]],
    rows: Tensor,
    outputs: Sequence[Tensor],
) -> bool:
    """Whether losses have a gradient for logits ``rows`` (R, .).

    The rows are parts of ``outputs``.
    """
    found = [v for k, v in losses.items() if 'loss' in k]
    values = [
        v for one in found for v in (one if isinstance(one, list) else [one])
    ]
    total = sum((value.sum() for value in values), rows.new_zeros(()))
    if not (rows.requires_grad and total.requires_grad):
        return False
    taught, own = (
        torch.autograd.grad(of, outputs, retain_graph=True, allow_unused=True)
        for of in (total, rows.sum())
    )
    pairs = [pair for pair in zip(taught, own) if None not in pair]
    return any(bool((one * other).any()) for one, other in pairs)
