"""Small helpers of the RoI head.

Shapes: R RoIs of all images, of which N are on known objects.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.registry import MODELS


@contextmanager
def record_calls(module: nn.Module, which: int = 0) -> Iterator[list]:
    """List of (input ``which``, output) of each call to ``module`` inside."""
    calls: list = []
    handle = module.register_forward_hook(
        lambda _, inputs, output: calls.append((inputs[which], output))
    )
    try:
        yield calls
    finally:
        handle.remove()


def with_sizes(cfg: dict, **sizes: int) -> dict:
    """The config with those sizes that its constructor wants and it lacks."""
    kind = MODELS.get(cfg['type'])
    wanted = () if kind is None else inspect.signature(kind).parameters
    return {**{k: v for k, v in sizes.items() if k in wanted}, **cfg}


def build_part(cfg: dict | None, **sizes: int) -> nn.Module | None:
    """A part of the head, told of the sizes that it wants to know."""
    return None if cfg is None else MODELS.build(with_sizes(cfg, **sizes))


def foreground(sampling_results: list) -> Tensor:
    """Mask (R,) of the foreground RoIs in the order of `bbox2roi`."""
    masks = []
    for res in sampling_results:
        device = res.pos_priors.device
        mask = torch.zeros(len(res.priors), dtype=torch.bool, device=device)
        mask[: len(res.pos_priors)] = True
        masks.append(mask)
    return torch.cat(masks)


def take_outliers(sampling_results: list) -> Tensor:
    """Move the RoIs on objects that are flagged OOD out of the results.

    RoIs (M, 5), in the order of `bbox2roi`. The flag is a negative label,
    which assigner and sampler hand on, also for annotated boxes that join
    the proposals. The list is changed in place, its entries are not.
    """
    taken = []
    for i, res in enumerate(sampling_results):
        is_ood = res.pos_gt_labels < 0
        taken.append(res.pos_priors[is_ood])
        if is_ood.any():
            sampling_results[i] = _with_positives(res, ~is_ood)
    return bbox2roi(taken)


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


def progress() -> float:
    """Share of the training in progress that has passed; 0 outside of one."""
    hub = MessageHub.get_current_instance()
    total = hub.get_info('max_iters')
    return hub.get_info('iter', 0) / total if total else 0.0


def check_outliers(
    outliers: dict | str | None, loss_uncertainty: dict | None
) -> None:
    """Raises ValueError for what is no source of outliers, or a vain one."""
    if outliers is not None and loss_uncertainty is None:
        raise ValueError(
            'outliers without loss_uncertainty have no effect: set it, '
            "to dict(type='mmood.LogisticUncertaintyLoss') for VOS"
        )
    if isinstance(outliers, str) and outliers != 'annotated':
        raise ValueError(
            f"outliers must be a config, None or 'annotated', got {outliers!r}"
        )


def check_start(share: float | None, iteration: int | None) -> None:
    """Raises ValueError for both, and for what is neither."""
    if share is not None and iteration is not None:
        raise ValueError(
            'outlier_start_share and outlier_start_iter exclude each other, '
            f'got {share!r} and {iteration!r}: set one of them to None'
        )
    if share is not None and not 0 <= share <= 1:
        raise ValueError(
            f'outlier_start_share must be in [0, 1], got {share!r}: for an '
            'iteration set outlier_start_iter'
        )
    if iteration is not None and (
        not isinstance(iteration, int) or iteration < 0
    ):
        raise ValueError(
            'outlier_start_iter must be a whole number from 0 on, got '
            f'{iteration!r}: for a share of the training set '
            'outlier_start_share'
        )


def has_started(
    share: float | None = None, iteration: int | None = None
) -> bool:
    """Whether the training in progress has passed a share or an iteration.

    True for neither. Raises RuntimeError for a share where no training loop
    tells its length.
    """
    hub = MessageHub.get_current_instance()
    if iteration is not None:
        return hub.get_info('iter', 0) >= iteration
    if not share:
        return True
    total = hub.get_info('max_iters')
    if total is None:
        raise RuntimeError(
            f'outlier_start_share={share} is of the training, and no MMEngine '
            'training loop says how long it is: set outlier_start_iter'
        )
    return hub.get_info('iter', 0) >= share * total


def correct_boxes(
    predicted: InstanceData, objects: Sequence[dict], iou: float = 0.5
) -> Tensor:
    """Mask (n,) of boxes that overlap an object of the class they say.

    ``objects`` have ``bbox`` (x1, y1, x2, y2) in the image's original size
    and ``bbox_label``, as mmdet's datasets give them in ``instances``.
    """
    objects = [o for o in objects if not o.get('ignore_flag', 0)]
    if not len(predicted) or not objects:
        return predicted.labels.new_zeros(len(predicted), dtype=torch.bool)
    boxes = predicted.bboxes.new_tensor([o['bbox'] for o in objects])
    labels = predicted.labels.new_tensor([o['bbox_label'] for o in objects])
    same = predicted.labels[:, None] == labels
    return ((bbox_overlaps(predicted.bboxes, boxes) >= iou) & same).any(1)
