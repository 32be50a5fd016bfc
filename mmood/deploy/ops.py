"""Operators that a graph is traced with where torch has none that ONNX has.

What PyTorch computes is here, what stands for it in the ONNX file in
`mmood.deploy.translations`. Shapes that depend on the picture appear only at
the end of a graph: everything before has as many rows as there can be.

Shapes: n boxes, x1 y1 x2 y2, m places; maps (B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import CustomOpDef


def _library_op(name: str, schema: str) -> Callable[[Callable], CustomOpDef]:
    return torch.library.custom_op(
        f'mmood::{name}', mutates_args=(), schema=schema
    )


@_library_op(
    'nms',
    '(Tensor boxes, Tensor scores, float iou_threshold, int limit)'
    ' -> (Tensor, Tensor)',
)
def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, limit: int
) -> tuple[Tensor, Tensor]:
    """Places (m,) of the boxes that stay, best first, and their number (1,).

    Behind these stand zeros: m is the ``limit``. Boxes of a score below 0 do
    not count, nor those that overlap a better one by more than
    ``iou_threshold``.
    """
    order = scores.argsort(descending=True, stable=True)
    order = order[scores[order] >= 0]
    kept: list[Tensor] = []
    while len(order) and len(kept) < limit:
        best, order = order[:1], order[1:]
        kept.append(best)
        order = order[_ious(boxes[best], boxes[order]) <= iou_threshold]
    places = torch.cat(kept) if kept else order
    count = places.new_tensor([len(places)])
    return F.pad(places, (0, limit - len(places))), count


def _ious(box: Tensor, boxes: Tensor) -> Tensor:
    sides = torch.minimum(box[:, 2:], boxes[:, 2:])
    sides = (sides - torch.maximum(box[:, :2], boxes[:, :2])).clamp(min=0)
    common = sides.prod(1)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (box, boxes)]
    return common / (areas[0] + areas[1] - common)


@nms.register_fake
def _(
    boxes: Tensor, scores: Tensor, iou_threshold: float, limit: int
) -> tuple[Tensor, Tensor]:
    places = boxes.new_empty(limit, dtype=torch.int64)
    return places, places.new_empty(1)


@_library_op('first', '(Tensor x, Tensor count) -> Tensor')
def first(x: Tensor, count: Tensor) -> Tensor:
    """The first ``count`` (1,) rows of x."""
    return x[: int(count)].clone()


@first.register_fake
def _(x: Tensor, count: Tensor) -> Tensor:
    rows = torch.library.get_ctx().new_dynamic_size()
    return x.new_empty(rows, *x.shape[1:])


@_library_op(
    'fit',
    '(Tensor x, Tensor inner, Tensor size, str mode, bool corners) -> Tensor',
)
def fit(
    x: Tensor, inner: Tensor, size: Tensor, mode: str, corners: bool
) -> Tensor:
    """Maps without what lies beyond ``inner`` (2,), resized to ``size`` (2,).

    ``mode`` and ``corners`` (``align_corners``, of 'bilinear') as in
    `torch.nn.functional.interpolate`.
    """
    height, width = inner.tolist()
    align_corners = corners if mode == 'bilinear' else None
    x = x[..., :height, :width]
    return F.interpolate(x, size.tolist(), None, mode, align_corners).clone()


@fit.register_fake
def _(
    x: Tensor, inner: Tensor, size: Tensor, mode: str, corners: bool
) -> Tensor:
    context = torch.library.get_ctx()
    height, width = (context.new_dynamic_size(min=1) for _ in range(2))
    return x.new_empty(*x.shape[:2], height, width)
