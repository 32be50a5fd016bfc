"""Objects that are drawn by rules when they are needed.

Shapes: cutouts (h, w).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from mmood.registry import OBJECTS

from .objects import Cutout, ObjectSource, Room
from .outlines import FAR, NEAR
from .procedural import OUTLINES, random_outline
from .textures import light, texture

SHAPES = dict(near=NEAR, far=FAR)
_FINE = 4  # outlines are drawn this much larger, then averaged
_OUTLINES = 1000  # of a kind
_USUAL = 1600.0  # pixels of an object of which no area is asked


@OBJECTS.register_module()
class DrawnObjects(ObjectSource):
    """Made-up objects: a random outline with a random texture and shading.

    As Dream-Box's procedural painter and Shapes draw them; a thousand
    outlines of each kind of `random_outline`, stretched by chance.

    Args:
        outlines: of which to draw: kinds of `random_outline`, and ``'near'``
            or ``'far'``, the unknown objects of Shapes, turned by chance.

    Raises ValueError for an unknown outline, or none.
    """

    def __init__(self, outlines: Sequence[str] = OUTLINES) -> None:
        known = (*OUTLINES, *SHAPES)
        unknown = [name for name in outlines if name not in known]
        if unknown or not outlines or isinstance(outlines, str):
            raise ValueError(
                f'outlines must be a list of some of {known}, got {outlines!r}'
            )
        self.outlines = tuple(outlines)

    def draw(
        self, rng: np.random.Generator, area: float | None, room: Room
    ) -> Cutout:
        contours, name = self._contours(rng)
        contours = [c * [np.exp(rng.uniform(-0.5, 0.5)), 1] for c in contours]
        points = np.concatenate(contours)
        low, sides = points.min(0), np.ptp(points, 0)
        inside, *holes = (
            cv2.contourArea(c.astype(np.float32)) for c in contours
        )
        scale = np.sqrt((area or _USUAL) / (inside - sum(holes)))
        scale = min(scale, *((np.array(room[::-1]) - 1) / sides))
        alpha = _coverage([(c - low) * scale for c in contours], sides * scale)
        height, width = alpha.shape
        side = max(height, width)
        fill = texture(rng, side, 0.6) * light(rng, side, 0.5)[..., None]
        image = np.clip(fill[:height, :width], 0, 255).astype(np.uint8)
        return Cutout(image, alpha, name, is_drawn=True)

    def report(self) -> str:
        return f'objects drawn of the outlines {", ".join(self.outlines)}'

    def _contours(
        self, rng: np.random.Generator
    ) -> tuple[list[np.ndarray], str]:
        """Contours (n, 2) of any unit, those behind the first are holes."""
        kind = str(rng.choice(self.outlines))
        if kind not in SHAPES:
            return [_outline(kind, int(rng.integers(_OUTLINES)))], kind
        name = str(rng.choice(list(SHAPES[kind])))
        angle = rng.uniform(0, 2 * np.pi)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        return [contour @ turn for contour in SHAPES[kind][name]], name


@lru_cache(maxsize=4 * _OUTLINES)
def _outline(kind: str, number: int) -> np.ndarray:
    """One of a thousand of a kind; some take longer to make than to fill."""
    return random_outline(np.random.default_rng(number), (kind,))[0]


def _coverage(contours: Sequence[np.ndarray], sides: np.ndarray) -> np.ndarray:
    """(h, w) uint8, 255 inside contours of pixels in ``sides`` (w, h)."""
    width, height = (max(1, int(np.ceil(side))) for side in sides)
    canvas = np.zeros((height * _FINE, width * _FINE), np.uint8)
    points = [np.round(c * _FINE).astype(np.int32) for c in contours]
    cv2.fillPoly(canvas, points, 255)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
