"""Small helpers of the RoI heads.

Shapes: R RoIs of all images, n boxes kept of one image.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.losses import BACKGROUND
from mmood.necks.pyramid import Pyramid


@contextmanager
def record_calls(*modules: nn.Module, which: int = 0) -> Iterator[list]:
    """List of (input ``which``, output) of each call to a module inside."""
    calls: list = []

    def add(_: nn.Module, inputs: tuple, output: object) -> None:
        calls.append((inputs[which], output))

    handles = [module.register_forward_hook(add) for module in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def last_of(part: nn.Module) -> nn.Module:
    """That of the last stage, where there are stages."""
    return part[-1] if isinstance(part, nn.ModuleList) else part


def check_heads(part: nn.Module) -> None:
    """Raises ValueError for box heads that cannot be scored."""
    heads = part if isinstance(part, nn.ModuleList) else [part]
    for head in heads:
        if not hasattr(head, 'fc_cls'):
            raise ValueError(
                f'bbox_head {type(head).__name__} has no classifier fc_cls: '
                'take a Shared2FCBBoxHead or another ConvFCBBoxHead'
            )
    counts = [head.num_classes for head in heads]
    if len(set(counts)) > 1:
        raise ValueError(
            f'the stages of bbox_head have num_classes={counts}: give all of '
            'them the same number'
        )


def maps_of(x: tuple, name: str, detach: bool = False) -> tuple[Tensor, ...]:
    """Maps that the neck made beside those for the heads.

    With ``detach`` no gradient flows into them.

    Raises ValueError if it made none of this name.
    """
    maps = x.maps if isinstance(x, Pyramid) else {}
    if name not in maps:
        raise ValueError(
            f'losses or outliers of the RoI head need the {name} maps, and '
            f'the neck makes {sorted(maps) or "none"}: put an mmood.DFDDNeck '
            'behind the FPN (with deblur=True for the deblurred ones)'
        )
    return tuple(m.detach() if detach else m for m in maps[name])


def batch_labels(sampling_results: list) -> Tensor:
    """Classes (R,) of the RoIs, or `BACKGROUND`, in `bbox2roi`'s order."""
    labels = []
    for res in sampling_results:
        known = res.pos_gt_labels
        background = known.new_full((len(res.neg_priors),), BACKGROUND)
        labels += [known, background]
    return torch.cat(labels)


class Flagged(NamedTuple):
    """RoIs (M, 5) on flagged objects, and those that were proposed."""

    rois: Tensor
    proposals: Tensor


class Step(NamedTuple):
    """What the last box head made of a training step."""

    sampling_results: list
    results: dict
    features: Tensor  # (R, C)
    flagged: Flagged


def take_flagged(sampling_results: list) -> Flagged:
    """Move the RoIs on objects that are flagged OOD out of the results.

    In the order of `bbox2roi`. The flag is a negative label, which assigner
    and sampler hand on, also for annotated boxes that join the proposals.
    The list is changed in place, its entries are not.
    """
    labels = torch.cat([res.pos_gt_labels for res in sampling_results])
    if not (labels < 0).any():  # waits for the device once, not per image
        none = bbox2roi([res.pos_priors[:0] for res in sampling_results])
        return Flagged(none, none)
    taken, proposed = [], []
    for i, res in enumerate(sampling_results):
        is_ood = res.pos_gt_labels < 0
        taken.append(res.pos_priors[is_ood])
        proposed.append(res.pos_priors[is_ood & (res.pos_is_gt == 0)])
        sampling_results[i] = _with_positives(res, ~is_ood)
    return Flagged(bbox2roi(taken), bbox2roi(proposed))


def _with_positives(result: SamplingResult, mask: Tensor) -> SamplingResult:
    """A sampling result with some of its positives only."""
    result = copy.copy(result)
    for name in (
        'pos_inds',
        'pos_priors',
        'pos_is_gt',
        'pos_assigned_gt_inds',
        'pos_gt_labels',
        'pos_gt_bboxes',
    ):
        setattr(result, name, getattr(result, name)[mask])
    result.num_pos = max(len(result.pos_inds), 1)
    result.avg_factor = result.num_pos
    if result.avg_factor_with_neg:
        result.avg_factor += result.num_neg
    return result


def jittered(rois: Tensor, amount: float = 0.1) -> Tensor:
    """RoIs (R, 5) whose corners move by up to ``amount`` of their size."""
    size = (rois[:, 3:] - rois[:, 1:3]).repeat(1, 2)
    shift = (2 * torch.rand_like(size) - 1) * amount * size
    return torch.cat([rois[:, :1], rois[:, 1:] + shift], 1)


def correct_boxes(
    predicted: InstanceData, objects: Sequence[dict], iou: float = 0.5
) -> Tensor:
    """Mask (n,) of boxes that overlap an object of the class they say.

    ``objects`` have ``bbox`` (x1, y1, x2, y2) in the image's original size
    and ``bbox_label``, as mmdet's datasets give them in ``instances``.
    """
    overlaps, labels = _overlaps(predicted, objects)
    same = predicted.labels[:, None] == labels
    return ((overlaps >= iou) & same).any(1)


def fit_labels(
    predicted: InstanceData, objects: Sequence[dict], wrong_too: bool
) -> Tensor:
    """Classes (n,) of boxes as a fit sees them; -1: it does not.

    Those that `correct_boxes` are of or, with ``wrong_too``, those of the
    objects that boxes overlap most, by half at least. Then a RoI counts once:
    by the box of its likeliest class.
    """
    if not wrong_too:
        correct = correct_boxes(predicted, objects)
        return torch.where(correct, predicted.labels, -1)
    is_likeliest = predicted.samples.logits.argmax(1) == predicted.labels
    overlaps, labels = _overlaps(predicted, objects)
    # A column for no object, which loses to any of enough overlap.
    overlaps = torch.nn.functional.pad(overlaps, (0, 1))
    labels = torch.nn.functional.pad(labels, (0, 1), value=-1)
    best, places = overlaps.max(1)
    return torch.where(is_likeliest & (best >= 0.5), labels[places], -1)


def _overlaps(
    predicted: InstanceData, objects: Sequence[dict]
) -> tuple[Tensor, Tensor]:
    """IoU (n, m) with m objects, and their classes (m,)."""
    objects = [o for o in objects if not o.get('ignore_flag', 0)]
    boxes = predicted.bboxes.new_tensor([o['bbox'] for o in objects])
    labels = predicted.labels.new_tensor([o['bbox_label'] for o in objects])
    return bbox_overlaps(predicted.bboxes, boxes.reshape(-1, 4)), labels


def misfit(
    state_dict: Mapping[str, Tensor],
    prefix: str,
    name: str,
    own: Tensor,
    part: str = '',
) -> str | None:
    """Why the classifier ``name`` of a head is not that of a checkpoint.

    None if it is, and if the checkpoint has nothing of the head, or of its
    ``part``.
    """
    weight = state_dict.get(prefix + name)
    if weight is not None and weight.shape != own.shape:
        return (
            f'the checkpoint has a classifier of shape {tuple(weight.shape)}, '
            f'the model one of {tuple(own.shape)} (as many rows as classes, '
            'with background, of each anchor): set num_classes to that of '
            'the checkpoint, or train before testing'
        )
    is_other = any(key.startswith(prefix + part) for key in state_dict)
    if weight is None and is_other:
        return (
            f'the checkpoint has the weights of another head, no {prefix}'
            f"{name}: set the head's type to that of the checkpoint, or "
            'train before testing'
        )
    return None
