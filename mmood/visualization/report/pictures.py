"""Pictures as parts of a page.

Shapes: H x W pixels of a photograph, h x w of a map.
"""

from __future__ import annotations

import base64
import warnings

import cv2
import numpy as np

_SIDE = 560  # pixels of a picture, at most
_QUALITY = 80


def jpeg_uri(path: str | None) -> tuple[str, int, int] | None:
    """A file downsized to 560 pixels as a data URI; its width and height.

    These are the file's own. None, with a warning, for what cannot be read.
    """
    image = None if path is None else cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        warnings.warn(
            f'{path or "an image without a path"} cannot be read: the report '
            'shows an empty frame in its place',
            stacklevel=2,
        )
        return None
    height, width = image.shape[:2]
    share = min(_SIDE / max(height, width), 1)
    size = max(round(width * share), 1), max(round(height * share), 1)
    if share < 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return _uri('.jpg', image, 'image/jpeg', quality), width, height


def png_uri(values: np.ndarray, label: np.ndarray, grid: np.ndarray) -> str:
    """A map and a label (h, w) as a picture that no rounding changes.

    Red: how many thresholds of the ``grid`` are below the value, green: the
    label. nan is above none.
    """
    levels = np.searchsorted(grid, np.nan_to_num(values, nan=-np.inf))
    picture = np.zeros((*label.shape, 3), np.uint8)
    picture[..., 2], picture[..., 1] = levels, label
    return _uri('.png', picture, 'image/png', [])


def _uri(suffix: str, image: np.ndarray, kind: str, options: list) -> str:
    _, content = cv2.imencode(suffix, image, options)
    code = base64.b64encode(content.tobytes()).decode('ascii')
    return f'data:{kind};base64,{code}'
