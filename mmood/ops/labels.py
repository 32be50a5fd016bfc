"""Label pictures: one id per pixel, read as it was written or refused."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

import numpy as np
from PIL import Image

from .images import UPRIGHT, open_image, orientation


def read_labels(
    source: str | os.PathLike | BinaryIO, name: str | None = None
) -> np.ndarray:
    """Ids of a label picture, (H, W) of a whole-numbered type.

    A palette picture has its indices, one of 1 bit 0 and 1. Raises OSError,
    with the name, as `open_image` does, and ValueError, with the remedy, for
    a picture that holds no ids: colours, an alpha channel, fractions, JPEG
    and GIF; or whose reading depends on the reader: several pictures in
    one file, an EXIF rotation, grey of 2 or 4 bits, which gets stretched.
    """
    name = os.fspath(source) if name is None else name
    with open_image(source, name) as image:
        problem = _header_problem(image)
        labels = np.array(image) if problem is None else None
    problem = problem or _array_problem(labels)
    if problem:
        raise ValueError(f'{name} {problem}')
    is_whole = labels.dtype.kind in 'ui'
    return labels if is_whole else labels.astype(np.int64)


def _header_problem(image: Image.Image) -> str | None:
    if image.format in ('GIF', 'JPEG', 'MPO'):
        return (
            f'is a {image.format}, whose writers change ids; save label '
            'pictures as PNG'
        )
    if getattr(image, 'n_frames', 1) > 1:
        return (
            f'holds {image.n_frames} pictures, where a label file has one; '
            'save the one that is meant'
        )
    bits = re.search(r'\bL;([24])\b', str(image.tile))
    if bits:
        return (
            f'has {bits[1]} bits of grey per pixel, which readers stretch to '
            '0..255; save its ids with 8 bits'
        )
    if orientation(image) != UPRIGHT:
        return (
            'is to be turned by its EXIF, which some readers do and others '
            'do not; save it turned and without EXIF'
        )
    return None


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
