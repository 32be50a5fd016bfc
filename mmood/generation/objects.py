"""Objects to paste into images: what they are, where they come from.

Shapes: cutouts (h, w), images (H, W, 3) uint8 in the order of channels that
OpenCV has, BGR.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import cv2
import numpy as np

Room = tuple[int, int]


@dataclass
class Cutout:
    """An object without what was around it.

    Attributes:
        image: (h, w, 3) uint8.
        alpha: (h, w) uint8, 0 where the object is not, 255 where it is.
        name: what it is, for reports and contact sheets.
        is_drawn: whether it lacks the noise of a photograph.
    """

    image: np.ndarray
    alpha: np.ndarray
    name: str
    is_drawn: bool = False

    @property
    def area(self) -> float:
        """Of the object, in pixels."""
        return float(self.alpha.sum(dtype=np.int64)) / 255

    @property
    def num_bytes(self) -> int:
        return self.image.nbytes + self.alpha.nbytes


class ObjectSource(ABC):
    """Something that objects can be drawn from at random."""

    @abstractmethod
    def draw(
        self, rng: np.random.Generator, area: float | None, room: Room
    ) -> Cutout:
        """An object of about ``area`` pixels, None: as large as it is.

        One that is larger than ``room`` (H, W) is shrunk to fit, its shape
        kept. The same for the same state of ``rng``.
        """

    @abstractmethod
    def report(self) -> str:
        """What there is to draw from, in a line or a few."""


def fitting_scale(
    size: Room, area: float, wanted: float | None, room: Room
) -> float:
    """What to enlarge a cutout of ``size`` (h, w) and ``area`` by.

    Its object then has ``wanted`` pixels (None: as many as it has), or fewer
    where it would not fit into ``room`` (H, W).
    """
    scale = 1.0 if wanted is None else (wanted / max(area, 1)) ** 0.5
    return min(scale, room[0] / size[0], room[1] / size[1])


def scaled(cutout: Cutout, scale: float) -> Cutout:
    """A cutout with sides ``scale`` times as long, at least a pixel.

    The very same one where no side changes by a pixel.
    """
    height, width = cutout.alpha.shape
    size = max(1, int(width * scale)), max(1, int(height * scale))
    if size == (width, height):
        return cutout
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image, alpha = (
        cv2.resize(part, size, interpolation=how)
        for part in (cutout.image, cutout.alpha)
    )
    return Cutout(image, alpha, cutout.name, cutout.is_drawn)


class CutoutCache:
    """The cutouts that were used last, at most ``max_bytes`` of them."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.num_bytes = max_bytes, 0
        self._kept: OrderedDict[Hashable, Cutout] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Cutout]) -> Cutout:
        """The one of that key, which is made if it is not there."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = make()
        self._kept[key] = made
        self.num_bytes += made.num_bytes
        while self.num_bytes > self.max_bytes:
            _, old = self._kept.popitem(last=False)
            self.num_bytes -= old.num_bytes
        return made

    def __len__(self) -> int:
        return len(self._kept)
