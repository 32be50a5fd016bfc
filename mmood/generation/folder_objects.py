"""Objects from a folder of pictures with an alpha channel."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from mmood.registry import OBJECTS

from .objects import (
    Cutout,
    CutoutCache,
    ObjectSource,
    Room,
    fitting_scale,
    scaled,
)


@OBJECTS.register_module()
class FolderObjects(ObjectSource):
    """The objects of a folder, each a PNG (h, w, 4) whose alpha is its mask.

    ``tools/dream_box/cut_objects.py`` writes such folders. Only the names
    are read at first.

    Args:
        folder: with the pictures, also in folders inside.
        cache_bytes: of decoded objects that are kept, in each process.

    Raises ValueError for a folder without a picture and, when drawn, for a
    picture without an alpha channel or without an object.
    """

    def __init__(
        self, folder: str | os.PathLike, *, cache_bytes: int = 2**26
    ) -> None:
        self.folder = Path(folder)
        self.names = sorted(
            str(path.relative_to(folder))
            for path in self.folder.rglob('*.png')
        )
        if not self.names:
            raise ValueError(
                f'folder={str(folder)!r} has no *.png: give one that '
                'tools/dream_box/cut_objects.py wrote'
            )
        self._cache = CutoutCache(cache_bytes)

    def draw(
        self, rng: np.random.Generator, area: float | None, room: Room
    ) -> Cutout:
        name = self.names[int(rng.integers(len(self.names)))]
        cutout = self._cache.get(name, lambda: self._read(name))
        shape = cutout.alpha.shape
        return scaled(cutout, fitting_scale(shape, cutout.area, area, room))

    def report(self) -> str:
        return f'{len(self.names)} objects of {self.folder}'

    def _read(self, name: str) -> Cutout:
        path = self.folder / name
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None or image.dtype != np.uint8 or image.shape[2:] != (4,):
            found = 'no readable picture'
            if image is not None:
                found = f'of shape {image.shape}, {image.dtype}'
            raise ValueError(
                f'{path} is {found}: it must be a PNG with red, green, blue '
                'and alpha of 8 bits'
            )
        if image[..., 3].max() < 128:
            raise ValueError(
                f'{path} has no object: its alpha is 0; remove it'
            )
        return Cutout(image[..., :3], image[..., 3], Path(name).stem)
