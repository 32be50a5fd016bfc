"""What may be uploaded: by size and by content, never by name.

Shapes: pictures are BGR uint8 (H, W, 3), as OpenCV reads them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

FORMATS = ('JPEG', 'PNG', 'WebP', 'BMP')
_MEGABYTE = 1 << 20  # as gradio counts


class UploadError(ValueError):
    """Why a file is not looked at, in words for who sent it."""


@dataclass(frozen=True)
class Limits:
    """Of uploads.

    Args:
        megabytes: that a file has at most.
        megapixels: that a picture has at most, as its header says, so that
            a small file cannot unfold to more than fits into the memory.
        side: to which the longer side of larger pictures is shrunk.
    """

    megabytes: float = 20
    megapixels: float = 50
    side: int = 1600

    @property
    def bytes(self) -> int:
        return round(self.megabytes * _MEGABYTE)

    def said(self) -> str:
        """For those who choose a file."""
        names = ', '.join(FORMATS[:-1])
        return (
            f'{names} or {FORMATS[-1]}, at most {self.megabytes:g} MB and '
            f'{self.megapixels:g} megapixels'
        )


def read_upload(path: str | os.PathLike, limits: Limits) -> np.ndarray:
    """The picture in a file, its longer side at most ``limits.side``.

    Nothing is decoded before size and kind are known. Turned as its EXIF
    data says; of an animation the first picture. Raises UploadError.
    """
    content = _content(Path(path), limits)
    _check_header(path, limits)
    try:
        buffer = np.frombuffer(content, np.uint8)
        picture = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise UploadError(
            'This picture is damaged and cannot be opened. Save it again, or '
            'take another one.'
        )
    return shrunk(picture, limits.side)


def _content(path: Path, limits: Limits) -> bytes:
    try:
        size = path.stat().st_size
        if size > limits.bytes:
            raise UploadError(
                f'This file has {size / _MEGABYTE:.1f} MB, more than the '
                f'{limits.megabytes:g} MB that are taken. Make it smaller '
                'and upload it again.'
            )
        return path.read_bytes()
    except OSError as error:
        raise UploadError(
            'The file is not there any more. Upload it again.'
        ) from error


def _check_header(path: str | os.PathLike, limits: Limits) -> None:
    """Kind and size, of which Pillow reads the header alone."""
    most = limits.megapixels * 1e6
    try:
        with Image.open(
            path, formats=[name.upper() for name in FORMATS]
        ) as picture:
            width, height = picture.size
    except Image.DecompressionBombError as error:
        raise UploadError(_too_large('far more', limits)) from error
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise UploadError(
            'This file is no picture that can be read, whatever its name '
            f'says. Taken are {limits.said()}.'
        ) from error
    if width * height > most:
        has = f'{width} x {height} pixels, more'
        raise UploadError(_too_large(has, limits))


def _too_large(has: str, limits: Limits) -> str:
    return (
        f'This picture has {has} than the {limits.megapixels:g} million '
        'pixels that are taken. Make it smaller and upload it again.'
    )


def shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """With a longer side of at most so many pixels, one at least."""
    factor = side / max(picture.shape[:2])
    if factor >= 1:
        return picture
    height, width = (max(1, round(n * factor)) for n in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
