"""What stands in an ONNX file for the operators of `mmood.deploy.ops`.

Shapes: see there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from onnxscript import FLOAT, INT64
from onnxscript import opset18 as op

from . import ops  # noqa: F401  (registers the operators)

OPSET = 18
_BELOW_ZERO = -1e-30  # ONNX leaves out scores that are as low
_BY_DIFFERENCES = 2  # of torch's compute modes


def nms(
    boxes: FLOAT, scores: FLOAT, iou_threshold: float, limit: int
) -> tuple[INT64, INT64]:
    boxes = op.Unsqueeze(boxes, _ints(0))
    scores = op.Unsqueeze(scores, _ints(0, 1))
    found = op.NonMaxSuppression(
        boxes,
        scores,
        _ints(limit),
        _floats(iou_threshold),
        _floats(_BELOW_ZERO),
    )
    # Rows of batch, class and box.
    places = op.Gather(found, _int(2), axis=1)
    count = op.Shape(places)
    missing = op.Concat(_ints(0), op.Sub(_ints(limit), count), axis=0)
    return op.Pad(places, missing), count


def first(x: FLOAT, count: INT64) -> FLOAT:
    return op.Slice(x, _ints(0), count, _ints(0))


def fit(
    x: FLOAT, inner: INT64, size: INT64, mode: str, corners: bool
) -> FLOAT:
    x = op.Slice(x, _ints(0, 0), inner, _ints(2, 3))
    places = dict(bilinear='pytorch_half_pixel', nearest='asymmetric')[mode]
    return op.Resize(
        x,
        None,
        None,
        size,
        axes=[2, 3],
        mode=dict(bilinear='linear', nearest='nearest')[mode],
        coordinate_transformation_mode=(
            'align_corners' if corners and mode == 'bilinear' else places
        ),
        nearest_mode='floor',
    )


def roi_align(
    maps: Sequence[FLOAT],
    boxes: FLOAT,
    levels: INT64,
    scales: Sequence[float],
    size: Sequence[int],
    ratio: int,
    aligned: bool,
) -> FLOAT:
    mode = 'half_pixel' if aligned else 'output_half_pixel'
    parts, found = [], []
    for level, (x, scale) in enumerate(zip(maps, scales)):
        is_here = op.Equal(levels, _int(level))
        here = op.Squeeze(op.NonZero(is_here), _ints(0))
        pooled = op.RoiAlign(
            x,
            op.Gather(boxes, here),
            op.Sub(here, here),  # all of the first image
            coordinate_transformation_mode=mode,
            output_height=size[0],
            output_width=size[1],
            sampling_ratio=ratio,
            spatial_scale=scale,
        )
        parts.append(pooled)
        found.append(here)
    places = op.Concat(*found, axis=0)
    # Sorted, the places say where in the parts each one is.
    _, order = op.TopK(places, op.Shape(places), largest=0)
    return op.Gather(op.Concat(*parts, axis=0), order)


def cdist(
    x: FLOAT, y: FLOAT, p: float = 2.0, compute_mode: int | None = None
) -> FLOAT:
    """Euclidean distances (N, K) of rows (N, C), (K, C).

    By products, unless ``compute_mode`` forbids it, as in torch.
    """
    if compute_mode == _BY_DIFFERENCES:
        steps = op.Sub(op.Unsqueeze(x, _ints(1)), op.Unsqueeze(y, _ints(0)))
        return op.Sqrt(
            op.ReduceSum(op.Mul(steps, steps), _ints(2), keepdims=0)
        )
    products = op.MatMul(x, op.Transpose(y, perm=[1, 0]))
    squares = op.Add(
        op.ReduceSum(op.Mul(x, x), _ints(1), keepdims=1),
        op.ReduceSum(op.Mul(y, y), _ints(1), keepdims=0),
    )
    squares = op.Sub(squares, op.Add(products, products))
    return op.Sqrt(op.Relu(squares))


def amax(x: FLOAT, dim: Sequence[int] = (), keepdim: bool = False) -> FLOAT:
    """Of all values where torch names no dimension."""
    axes = _ints(*dim) if dim else None
    return op.ReduceMax(x, axes, keepdims=int(keepdim))


def stable_sort(
    x: FLOAT, stable: bool = True, dim: int = -1, descending: bool = False
) -> tuple[FLOAT, INT64]:
    """Values and places; of equal ones the first comes first, as in torch."""
    count = op.Gather(op.Shape(x), _ints(dim))
    return op.TopK(x, count, axis=dim, largest=int(descending))


def table() -> dict[Callable, Callable]:
    """For ``custom_translation_table`` of `torch.onnx.export`."""
    ours = torch.ops.mmood
    own: dict[str, Callable] = dict(
        nms=nms, first=first, fit=fit, roi_align=roi_align
    )
    found: dict[Callable, Callable] = {
        getattr(ours, name).default: translation
        for name, translation in own.items()
        if hasattr(ours, name)
    }
    aten = torch.ops.aten
    found[aten.sort.stable] = stable_sort
    return {**found, aten.cdist.default: cdist, aten.amax.default: amax}


def _int(value: int) -> INT64:
    return cast(INT64, op.Constant(value_int=value))


def _ints(*values: int) -> INT64:
    return cast(INT64, op.Constant(value_ints=list(values)))


def _floats(*values: float) -> FLOAT:
    return cast(FLOAT, op.Constant(value_floats=list(values)))
