"""Reading label pictures, which hold one id per pixel."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
from PIL import Image

from .images import UPRIGHT, open_image, orientation, source_name


def read_labels(
    source: str | os.PathLike | BinaryIO, name: str | None = None
) -> np.ndarray:
    """Ids of a label picture, (H, W) of a whole-numbered type.

    A palette picture has its indices, one of 1 bit 0 and 1. Raises OSError,
    with the name, as `open_image` does, and ValueError, with the remedy, for
    a picture that holds no ids: colours, an alpha channel, fractions, or a
    format that changes ids, as JPEG and GIF do; or whose reading depends on
    the reader: several pictures in one file, an EXIF rotation, or a grey of
    a range such as 0..15, which gets stretched.
    """
    name = source_name(source) if name is None else name
    with open_image(source, name) as image:
        problem = _header_problem(image)
        labels = np.array(image if problem is None else ())
    problem = problem or _array_problem(labels)
    if problem:
        raise ValueError(f'{name} {problem}')
    is_whole = labels.dtype.kind in 'ui'
    return labels if is_whole else labels.astype(np.int64)


# Formats and compressions of TIFF that keep looks, not numbers.
_LOSSY = {'AVIF', 'GIF', 'JPEG', 'JPEG2000', 'MPO', 'WEBP'}
_LOSSY_TIFF = {'jpeg', 'tiff_jpeg', 'webp'}


def _header_problem(image: Image.Image) -> str | None:
    compression = image.info.get('compression')
    if image.format in _LOSSY or compression in _LOSSY_TIFF:
        return (
            f'is a {image.format} whose writers change numbers, here ids; '
            'save label pictures as PNG'
        )
    frames = getattr(image, 'n_frames', 1)
    if frames > 1:
        return (
            f'holds {frames} pictures, where a label file has one; '
            'save the one that is meant'
        )
    white = _white(image)
    if white not in (255, 65535):
        return (
            f'has greys from 0 to {white}, which readers stretch to more; '
            'save its ids with 8 bits'
        )
    if orientation(image) != UPRIGHT:
        return (
            'is to be turned by its EXIF, which some readers do and others '
            'do not; save it turned and without EXIF'
        )
    return None


def _white(image: Image.Image) -> int:
    """The number that stands for white in the file, from its decoder."""
    for codec, _, _, arguments in getattr(image, 'tile', ()):
        unpacked = arguments if isinstance(arguments, tuple) else (arguments,)
        if codec.startswith('ppm'):
            return unpacked[1]
        if unpacked[0] in ('L;2', 'L;4'):
            return 2 ** int(unpacked[0][-1]) - 1
    return 255


def _array_problem(labels: np.ndarray) -> str | None:
    if labels.ndim != 2:
        return (
            f'has {labels.shape[2]} channels, where a label file has one '
            'with the id of each pixel; convert its colours to ids'
        )
    if labels.dtype.kind == 'f' and not (labels == np.round(labels)).all():
        odd = labels[labels != np.round(labels)][0]
        return f'holds {odd:g}, where ids are whole numbers; convert it to ids'
    if labels.dtype.kind == 'f' and not np.isfinite(labels).all():
        return 'holds infinite numbers, where ids are whole; convert it to ids'
    return None
