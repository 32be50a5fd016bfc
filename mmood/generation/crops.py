"""Boxes, crops around them, and blending a crop into the image.

Shapes: images (H, W, 3) uint8 RGB, crops (h, w, 3). A `Box` is
(x1, y1, x2, y2) in whole pixels, x2 and y2 excluded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

Box = tuple[int, int, int, int]


def clip_box(bbox_xywh: Sequence[float], width: int, height: int) -> Box:
    """The whole pixels that a COCO box (x, y, width, height) touches.

    Rounded outward, then cut to an image of the given size. Raises
    ValueError if nothing of the box is in the image, if a side is not
    positive, or if a number is not finite.
    """
    given = ', '.join(f'{v:g}' for v in bbox_xywh)
    if len(bbox_xywh) != 4 or not all(map(math.isfinite, bbox_xywh)):
        raise ValueError(f'bbox must be four finite numbers, got [{given}]')
    x, y, w, h = bbox_xywh
    if w <= 0 or h <= 0:
        raise ValueError(
            f'bbox [x, y, width, height] must have positive sides, got '
            f'[{given}]'
        )
    # Sums like 10.1 + 20.9 must not grow by a pixel.
    box = (
        max(math.floor(x), 0),
        max(math.floor(y), 0),
        min(math.ceil(round(x + w, 6)), width),
        min(math.ceil(round(y + h, 6)), height),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(
            f'bbox [x, y, width, height] = [{given}] lies outside the image '
            f'of {width} x {height} pixels'
        )
    return box


def padded_box(box: Box, width: int, height: int, padding: float) -> Box:
    """A square around a box, as far as the image allows.

    Its side is ``max(w, h) * (1 + 2 * padding)``, rounded up. It is centred
    on the box, shifted into the image and, where larger than the image, cut
    to it; the box always lies inside.
    """
    x1, y1, x2, y2 = box
    # The rounding keeps 10 * (1 + 2 * 0.1) at 12.
    side = math.ceil(round(max(x2 - x1, y2 - y1) * (1 + 2 * padding), 6))
    left, right = _span(x1, x2, side, width)
    top, bottom = _span(y1, y2, side, height)
    return left, top, right, bottom


def _span(low: int, high: int, side: int, limit: int) -> tuple[int, int]:
    side = min(side, limit)
    start = min(max((low + high - side) // 2, 0), limit - side)
    return start, start + side


def paint_size(
    h: int, w: int, size: int | None, multiple: int
) -> tuple[int, int]:
    """Height and width at which a crop of (h, w) pixels is painted.

    The longer side becomes ``size``, the other follows in proportion; both
    are rounded to the nearest multiple, at least one. ``size=None`` keeps
    the crop's own sides, rounded up to multiples.
    """
    if size is None:
        return -(-h // multiple) * multiple, -(-w // multiple) * multiple
    scale = size / max(h, w)
    height, width = (max(1, round(s * scale / multiple)) for s in (h, w))
    return height * multiple, width * multiple


def resize_image(image: np.ndarray, h: int, w: int) -> np.ndarray:
    """The image at (h, w): averaged to shrink, cubic to enlarge.

    The very same array if it has that size already.
    """
    if image.shape[:2] == (h, w):
        return image
    shrinks = h * w < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (w, h), interpolation=how)


def resize_mask(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    """The mask at (h, w); one with a pixel set never comes out empty."""
    if mask.shape == (h, w):
        return mask
    cover: np.ndarray = mask.astype(np.float32)
    # One side at a time: only so cv2 averages the one that shrinks.
    for height, width in ((h, mask.shape[1]), (h, w)):
        shrinks = height * width < cover.size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
        cover = cv2.resize(cover, (width, height), interpolation=how)
    return cover > 0


def box_mask(box: Box, crop_box: Box, keep: Iterable[Box] = ()) -> np.ndarray:
    """Mask (h, w) over a crop: True in the box, but not in ``keep``."""
    mask = np.zeros(
        (crop_box[3] - crop_box[1], crop_box[2] - crop_box[0]), bool
    )
    mask[_slices(box, crop_box)] = True
    for other in keep:
        mask[_slices(other, crop_box)] = False
    return mask


def soft_mask(
    box: Box, crop_box: Box, feather: int, keep: Iterable[Box] = ()
) -> np.ndarray:
    """Weights (h, w) float32 in [0, 1] of the painted crop.

    1 in the box, falling smoothly (``t^2 (3 - 2 t)``) over ``feather``
    pixels around it, 0 beyond and in the boxes to keep. Where the crop ends
    sooner the fall is steeper, so that its outermost pixels have 0 on every
    side on which the box does not reach them itself.
    """
    x = _distance(box[0], box[2], crop_box[0], crop_box[2], feather)
    y = _distance(box[1], box[3], crop_box[1], crop_box[3], feather)
    near = 1 - np.minimum(np.hypot(x[None], y[:, None]), 1)
    alpha = (near * near * (3 - 2 * near)).astype(np.float32)
    for other in keep:
        alpha[_slices(other, crop_box)] = 0
    return alpha


def _distance(
    low: int, high: int, start: int, end: int, feather: int
) -> np.ndarray:
    """Of pixels start..end from low..high, 1 where the soft edge is over."""
    pixels = np.arange(start, end)
    before = (low - pixels) / (1 + min(feather, max(low - start - 1, 0)))
    after = (pixels - high + 1) / (1 + min(feather, max(end - high - 1, 0)))
    return np.maximum(np.maximum(before, after), 0)


def _slices(box: Box, crop_box: Box) -> tuple[slice, slice]:
    """Rows and columns of the box in the crop, empty if it is elsewhere."""
    left, top = crop_box[:2]
    x1, x2 = (max(v - left, 0) for v in (box[0], box[2]))
    y1, y2 = (max(v - top, 0) for v in (box[1], box[3]))
    return slice(y1, y2), slice(x1, x2)


def blend(
    before: np.ndarray, after: np.ndarray, alpha: np.ndarray
) -> np.ndarray:
    """``before + alpha * (after - before)``, uint8, rounded.

    Bit-equal to ``before`` where alpha (h, w) is 0, to ``after`` where 1.
    """
    if before.shape != after.shape or before.shape[:2] != alpha.shape:
        raise ValueError(
            'before, after and alpha must have one height and width, got '
            f'{before.shape}, {after.shape} and {alpha.shape}'
        )
    start = before.astype(np.float32)
    mixed = start + alpha[..., None] * (after - start)
    return np.rint(mixed).astype(np.uint8)
