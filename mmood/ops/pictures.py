"""The pictures that a user gives, and the names of the files made of them.

Shapes: H x W pixels, BGR as OpenCV reads them.
"""

from __future__ import annotations

import os
import os.path as osp
import warnings
from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from .files import atomic_write
from .images import SUFFIXES, list_images

_DRAWN = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}


def list_pictures(inputs: object) -> list[str | np.ndarray]:
    """Paths and arrays (H, W, 3) of a file, a folder, an array or several.

    Several come in a list or any other iterable, mixed at will. A folder
    stands for its own visible images, in order of their names, not for those
    of the folders in it. Addresses with ``://`` are passed on.

    Raises FileNotFoundError for what is not there, ValueError for a folder
    without images, for an array that is no picture and for anything else.
    """
    if isinstance(inputs, np.ndarray):
        return [as_bgr(inputs)]
    if isinstance(inputs, (str, os.PathLike)):
        path = os.fsdecode(inputs)
        if '://' in path:
            return [path]
        if osp.isdir(path):
            return _of_folder(path)
        if not osp.exists(path):
            raise FileNotFoundError(
                f'{path} does not exist: name a picture or a folder of them'
            )
        return [path]
    is_other = isinstance(inputs, (bytes, Mapping)) or hasattr(inputs, 'shape')
    if is_other or not isinstance(inputs, Iterable):
        raise ValueError(
            'a picture must be a path or a uint8 array (H, W, 3) in BGR, got '
            f'{type(inputs).__name__}'
        )
    return [picture for one in inputs for picture in list_pictures(one)]


def _of_folder(folder: str) -> list[str | np.ndarray]:
    hidden = sorted(
        name
        for name in os.listdir(folder)
        if name.startswith('.') and name.lower().endswith(SUFFIXES)
    )
    if hidden:
        warnings.warn(
            f'{folder}: left out hidden files: {", ".join(hidden)}',
            stacklevel=2,
        )
    images = list_images(folder, recursive=False)
    if not images:
        raise ValueError(
            f'folder {folder} has no image; folders in it are not looked '
            'into, name them one by one'
        )
    return list(images)


def as_bgr(array: np.ndarray) -> np.ndarray:
    """A picture as its file would be read: gray repeated, alpha dropped.

    (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) -> (H, W, 3) uint8.
    Raises ValueError for other shapes and types, and if it has no pixel.
    """
    shape = array.shape if array.ndim == 3 else (*array.shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 3, 4) or 0 in shape:
        raise ValueError(
            'an array must be a picture (H, W), (H, W, 1), (H, W, 3) or '
            f'(H, W, 4), got the shape {array.shape}; put several in a list'
        )
    if array.dtype != np.uint8:
        raise ValueError(
            'an array must be uint8, 0 to 255, as OpenCV reads pictures, got '
            f'{array.dtype}'
        )
    array = array.reshape(shape)[..., :3]
    return np.array(np.broadcast_to(array, (*shape[:2], 3)), order='C')


class OutputNames:
    """Stems of the files that are made of pictures, no two the same.

    That of a picture is its own, with a number behind it where another one
    has taken it (x/1.png, y/1.png and x/1.jpg: 1, 1_2, 1_3). Pictures
    without a path are counted: 00000000, 00000001, ...
    """

    def __init__(self) -> None:
        self._stems: dict[str, str] = {}
        self._taken: set[str] = set()
        self._count = 0

    def __call__(self, path: str | None) -> str:
        if path is None:
            self._count += 1
            return self._free(f'{self._count - 1:08d}')
        key = path if '://' in path else osp.abspath(path)
        if key not in self._stems:
            stem = osp.splitext(osp.basename(key))[0]
            self._stems[key] = self._free(stem)
        return self._stems[key]

    def _free(self, stem: str) -> str:
        free, number = stem, 1
        # Some file systems take A and a for the same.
        while free.casefold() in self._taken:
            number += 1
            free = f'{stem}_{number}'
        self._taken.add(free.casefold())
        return free


def drawing_name(stem: str, path: str | None) -> str:
    """Name of a drawing: in the picture's format, if it has colours."""
    suffix = osp.splitext(path or '')[1]
    return stem + (suffix if suffix.lower() in _DRAWN else '.png')


def write_picture(path: str, picture: np.ndarray) -> None:
    """Write (H, W, 3) RGB or (H, W), in the format that the suffix names."""
    if picture.ndim == 3:
        picture = picture[..., ::-1]
    _, content = cv2.imencode(
        osp.splitext(path)[1].lower(), np.ascontiguousarray(picture)
    )
    with atomic_write(path, 'wb') as file:
        file.write(content.tobytes())
