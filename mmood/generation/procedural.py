"""Outlier objects drawn by rules, without a network.

Shapes: crop (h, w, 3) uint8, mask (h, w) bool.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmood.registry import PAINTERS

from .painter import Painter, Painting
from .shapes import ID, add_object

SWAPS = ('shape', 'texture')
OUTLINES = ('blob', 'polygon', 'union', 'hybrid')
_FINE = 4  # outlines are drawn this much larger, then averaged


@PAINTERS.register_module()
class ProceduralPainter(Painter):
    """A made-up object in place of the annotated one.

    Args:
        swaps: what may change, one of them drawn for each object:
            ``'shape'`` wipes the object out, filling its box from the
            surroundings, and draws one of a `random_outline` that touches
            all four sides of the box; ``'texture'`` keeps the outline, as
            found by GrabCut inside the box, and fills it anew. Where an
            outline alone makes the class, as in Shapes, a new texture is no
            outlier: take ``('shape',)``.
        outlines: kinds of `random_outline` to draw from; ``'known'``: that
            of the object's class in Shapes, turned. Nothing but the traces
            of painting is new then, so a detector that calls these objects
            OOD has learned the traces.
        size: longer side, in pixels, to paint at; None: the crop's own. For
            photographs 256 saves most of the time.

    Raises ValueError for an unknown swap or outline, or none.
    """

    name = 'procedural'

    def __init__(
        self,
        swaps: Sequence[str] = SWAPS,
        outlines: Sequence[str] | str = OUTLINES,
        size: int | None = None,
    ) -> None:
        self.size = size
        self.swaps = _some_of('swaps', swaps, SWAPS)
        self.outlines = (
            outlines
            if outlines == 'known'
            else _some_of('outlines', outlines, OUTLINES)
        )

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise ValueError where ``'known'`` has no outline for one."""
        unknown = [name for name in classes if name not in ID]
        if unknown and self.outlines == 'known':
            raise ValueError(
                f"outlines='known' is for the classes {list(ID)}, got "
                f'{unknown}'
            )

    def paint(
        self, crop: np.ndarray, mask: np.ndarray, label: str, seed: int
    ) -> Painting | None:
        rng = np.random.default_rng(seed)
        swap = str(rng.choice(self.swaps))
        if swap == 'texture':
            alpha, kind = object_alpha(crop, mask), 'own'
            ground = crop.astype(np.float32)
        else:
            alpha, kind = _outline_alpha(rng, mask, self.outlines, label)
            ground = _without_object(rng, crop, mask)
        image = add_object(rng, ground, alpha)
        noise = rng.standard_normal(image.shape, np.float32)
        image = image + noise_level(crop) * noise * alpha[..., None]
        how = dict(swap=swap, outline=kind)
        return Painting(np.clip(image, 0, 255).astype(np.uint8), how)


def _some_of(
    name: str, given: Sequence[str], known: Sequence[str]
) -> tuple[str, ...]:
    unknown = [value for value in given if value not in known]
    if unknown or not given or isinstance(given, str):
        raise ValueError(
            f'{name} must be a list of some of {known}, got {given!r}'
        )
    return tuple(given)


def random_outline(
    rng: np.random.Generator, kinds: Sequence[str] = OUTLINES
) -> tuple[np.ndarray, str]:
    """A closed contour (n, 2) in [0, 1]^2 that touches all sides; its kind.

    ``blob``: a circle with three harmonics; ``polygon``: 6 to 11 corners at
    random radii; ``union``: a blob and a polygon, overlapping; ``hybrid``:
    two known outlines of Shapes grown together, each with a good part of
    the whole.
    """
    kind = str(rng.choice(kinds))
    if kind == 'blob':
        contour = _blob(rng)
    elif kind == 'polygon':
        contour = _polygon(rng)
    elif kind == 'union':
        far = rng.uniform(0.4, 1.0, 2) * rng.choice([-1, 1], 2)
        polygon = _polygon(rng) * 0.8 + far
        contour = _outer(_filled([_blob(rng)]) | _filled([polygon]))
    else:
        contour = _hybrid(rng)
    low, high = contour.min(0), contour.max(0)
    return (contour - low) / (high - low), kind


def _hybrid(rng: np.random.Generator) -> np.ndarray:
    """Around two known outlines, neither hidden in the other."""
    while True:
        names = rng.choice(list(ID), 2, replace=False)
        first, second = (_filled(_posed(rng, ID[str(n)])) for n in names)
        whole = first | second
        grown = whole.sum() > 1.3 * max(first.sum(), second.sum())
        if grown and (first & second).any():
            return _outer(whole)


def _posed(
    rng: np.random.Generator, contours: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Turned, scaled and moved by chance."""
    angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) * rng.uniform(0.5, 1.0)
    return [contour @ turn.T + place for contour in contours]


def _blob(rng: np.random.Generator, points: int = 72) -> np.ndarray:
    angles = np.arange(points) * 2 * np.pi / points
    radius = np.ones(points)
    for order in rng.choice([2, 3, 4, 5, 6, 7], 3, replace=False):
        size, phase = rng.uniform(0.1, 0.3), rng.uniform(0, 2 * np.pi)
        radius += size * np.cos(order * angles + phase)
    return _polar(angles, np.maximum(radius, 0.15))


def _polygon(rng: np.random.Generator) -> np.ndarray:
    corners = int(rng.integers(6, 12))
    angles = np.arange(corners) + rng.uniform(-0.3, 0.3, corners)
    angles = angles * 2 * np.pi / corners + rng.uniform(0, 2 * np.pi)
    return _polar(angles, rng.uniform(0.35, 1.0, corners))


def _polar(angles: np.ndarray, radii: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]


def _filled(contours: Sequence[np.ndarray], size: int = 256) -> np.ndarray:
    """Mask (size, size) of [-2, 2]^2 inside contours, by even-odd rule."""
    canvas = np.zeros((size, size), np.uint8)
    points = [np.round((c / 4 + 0.5) * size) for c in contours]
    cv2.fillPoly(canvas, [p.astype(np.int32) for p in points], 1)
    return canvas.astype(bool)


def _outer(mask: np.ndarray) -> np.ndarray:
    """The longest contour (n, 2) around a mask, in pixels."""
    found, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return max(found, key=len)[:, 0].astype(np.float64)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(x1, y1, x2, y2) around the True pixels, half-open."""
    y, x = np.nonzero(mask)
    return x.min(), y.min(), x.max() + 1, y.max() + 1


def _outline_alpha(
    rng: np.random.Generator,
    mask: np.ndarray,
    kinds: Sequence[str] | str,
    label: str = '',
) -> tuple[np.ndarray, str]:
    """Coverage (h, w) in [0, 1] of an outline in the mask's box; its kind."""
    x1, y1, x2, y2 = (side * _FINE for side in _box(mask))
    # Polygons are drawn with their border, so up to the last fine pixel.
    sides = np.array([x2 - x1 - 1, y2 - y1 - 1])
    if kinds == 'known':
        contours, kind = _known(rng, label, sides), kinds
    else:
        contour, kind = random_outline(rng, kinds)
        contours = [contour * sides]
    height, width = mask.shape
    canvas = np.zeros((height * _FINE, width * _FINE), np.uint8)
    points = [np.round(c + [x1, y1]).astype(np.int32) for c in contours]
    cv2.fillPoly(canvas, points, 255)
    canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return canvas.astype(np.float32) / 255, kind


def _known(
    rng: np.random.Generator, label: str, sides: np.ndarray
) -> list[np.ndarray]:
    """Contours of a class, turned, as large as the sides (2,) allow."""
    contours = _posed(rng, ID[label])
    points = np.concatenate(contours)
    low, high = points.min(0), points.max(0)
    scale = (sides / (high - low)).min()
    return [(c - (low + high) / 2) * scale + sides / 2 for c in contours]


def _without_object(
    rng: np.random.Generator, crop: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """The crop, its masked part filled from around and given its noise."""
    if mask.all():
        return crop.astype(np.float32)
    filled = cv2.inpaint(crop, mask.astype(np.uint8), 5, cv2.INPAINT_TELEA)
    sigma = noise_level(crop)
    noise = sigma * rng.standard_normal(crop.shape, np.float32)
    return np.where(mask[..., None], filled + noise, crop).astype(np.float32)


def object_alpha(crop: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The object inside the mask, by GrabCut; all of it if none is found."""
    labels = np.where(mask, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    everywhere = (0, 0, 0, 0)  # of no meaning beside a mask
    if not mask.all() and crop[mask].std() > 0:
        cv2.setRNGSeed(0)
        how = cv2.GC_INIT_WITH_MASK
        cv2.grabCut(crop, labels, everywhere, *models, 3, mode=how)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)) & mask
    found = found if found.any() else mask
    return cv2.GaussianBlur(found.astype(np.float32), (3, 3), 0)


def noise_level(image: np.ndarray) -> float:
    """Standard deviation of the pixel noise, in grey values.

    The median of a high-pass filtered image over its value for unit noise:
    edges and textures hardly move it. 0 for less than 3 x 3 pixels.
    """
    if image.ndim != 3 or min(image.shape[:2]) < 3:
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    grey = image.astype(np.float32).mean(2)
    high = cv2.filter2D(grey, cv2.CV_32F, kernel)[1:-1, 1:-1]
    # A mean of three channels has 1 / sqrt(3) of the noise of one, the
    # kernel 6 times; 0.6745 is the median of |N(0, 1)|.
    return float(np.median(np.abs(high)) * 3**0.5 / 6 / 0.6745)
