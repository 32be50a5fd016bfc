"""What a test pipeline does to a picture, in numpy alone.

Shapes: pictures (H, W, 3), sizes (height, width).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

_ONE = 2048  # a weight of 1, as OpenCV counts them


class Prepared(NamedTuple):
    """What the network gets.

    image: (1, 3, H, W) float32.
    inner: its height and width without the padding at the bottom and at the
        right that no step of the pipeline made.
    scale: what height and width were resized by.
    """

    image: np.ndarray
    inner: tuple[int, int]
    scale: tuple[float, float]


def prepare(
    picture: np.ndarray, about: Mapping, order: str = 'bgr'
) -> Prepared:
    """Do what the pipeline and the model did to a picture.

    ``about`` is what `mmood.deploy.pipeline.describe` says; ``order`` that of
    the picture's channels. Raises ValueError for what is no picture.
    """
    check_picture(picture, order)
    if order != 'bgr':
        picture = picture[..., ::-1]
    scale = np.ones(2)
    for step in about['steps']:
        old = picture.shape[:2]
        picture = _STEPS[step['step']](picture, step)
        if step['step'] != 'pad':
            scale *= np.divide(picture.shape[:2], old)
    inner = picture.shape[:2]
    if about['order'] == 'rgb':
        picture = picture[..., ::-1]
    x = picture.astype(np.float32)
    if about['mean'] is not None:
        mean, std = (np.float32(about[name]) for name in ('mean', 'std'))
        x = (x - mean) / std
    height, width = padded_size(inner, about)
    below, right = height - inner[0], width - inner[1]
    value = about['pad_value']
    x = np.pad(x, ((0, below), (0, right), (0, 0)), constant_values=value)
    image = np.ascontiguousarray(x.transpose(2, 0, 1)[None])
    down, across = scale.tolist()
    return Prepared(image, inner, (down, across))


def check_picture(picture: np.ndarray, order: str) -> None:
    """Raises ValueError for what is no picture, or another order."""
    if order not in ('bgr', 'rgb'):
        raise ValueError(f"order must be 'bgr' or 'rgb', got {order!r}")
    is_array = isinstance(picture, np.ndarray)
    if not is_array or picture.ndim != 3 or picture.shape[2] != 3:
        shape = picture.shape if is_array else type(picture).__name__
        raise ValueError(
            f'a picture is an array (H, W, 3), got {shape}: read the file '
            'first, and repeat the channel of a grey one'
        )
    if picture.dtype != np.uint8 or not picture.size:
        raise ValueError(
            'a picture has pixels of uint8, 0 to 255, got '
            f'{picture.dtype} of shape {picture.shape}'
        )


def padded_size(size: Sequence[int], about: Mapping) -> tuple[int, int]:
    """With the padding that the network wants."""
    divisor = about['divisor']
    least = about['pad_size'] or size
    height, width = (max(pair) for pair in zip(size, least))
    return -(-height // divisor) * divisor, -(-width // divisor) * divisor


def resize(picture: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Bilinear, as OpenCV does it to uint8: weights of 11 bits.

    A column beyond the border has the weight 1 of the outermost one. A row
    has not: the outermost one counts twice, and each part is rounded.
    """
    if tuple(size) == picture.shape[:2]:
        return picture
    (top, bottom, v), (left, right, h) = map(_places, picture.shape, size)
    h[:, left == right] = [[_ONE], [0]]
    # The columns of all rows that are needed, then the rows.
    h, v = h[:, None, :, None], v[:, :, None, None]
    needed, where = np.unique(np.stack([top, bottom]), return_inverse=True)
    x = picture[needed].astype(np.int32)
    x = x[:, left] * h[0] + x[:, right] * h[1]
    upper, lower = v * (x[where.reshape(2, -1)] >> 4) >> 16
    return ((upper + lower + 2) >> 2).clip(0, 255).astype(np.uint8)


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both neighbours (new,) of each new pixel, and their weights (2, new).

    In the order and precision of OpenCV's terms, which rounds each weight.
    """
    at = (np.arange(new) + 0.5) * (1 / (new / old)) - 0.5
    at = at.astype(np.float32)
    first = np.floor(at)
    weight = at - first
    weights = np.rint(np.stack([1 - weight, weight]) * _ONE).astype(np.int32)
    first = first.astype(int)
    first, second = (x.clip(0, old - 1) for x in (first, first + 1))
    return first, second, weights


def scaled_size(
    size: Sequence[int], scale: Sequence[int], keep_ratio: bool
) -> tuple[int, int]:
    """Of a picture that is resized to the scale (width, height)."""
    if not keep_ratio:
        return scale[1], scale[0]
    factor = min(max(scale) / max(size), min(scale) / min(size))
    height, width = (int(side * factor + 0.5) for side in size)
    return height, width


def _resize(picture: np.ndarray, step: Mapping) -> np.ndarray:
    size = picture.shape[:2]
    return resize(
        picture, scaled_size(size, step['scale'], step['keep_ratio'])
    )


def _to_multiple(picture: np.ndarray, step: Mapping) -> np.ndarray:
    divisor = step['divisor']
    size = [-(-side // divisor) * divisor for side in picture.shape[:2]]
    return resize(picture, size)


def _pad(picture: np.ndarray, step: Mapping) -> np.ndarray:
    height, width = picture.shape[:2]
    if step['square']:
        height = width = max(height, width)
    if step['size']:
        # A picture that is larger already stays as it is.
        height, width = (
            max(height, step['size'][1]),
            max(width, step['size'][0]),
        )
    divisor = step['divisor'] or 1
    height, width = (-(-side // divisor) * divisor for side in (height, width))
    padded = np.empty((height, width, 3), picture.dtype)
    padded[:] = step['value']
    padded[: picture.shape[0], : picture.shape[1]] = picture
    return padded


_STEPS = dict(resize=_resize, multiple=_to_multiple, pad=_pad)
