"""Many outlines of COCO in little memory, and the mask of one of them.

Shapes: masks (h, w) uint8, 0 or 255.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from types import ModuleType
from typing import Union

import cv2
import numpy as np

Outline = Union[list, dict]  # polygons, or run lengths


class Outlines:
    """The ``segmentation`` of annotations, in order.

    Polygons are kept as float32 in one array, so that neither the many lists
    of a COCO file remain nor the processes of a loader copy them.
    """

    def __init__(self, outlines: Iterable[Outline]) -> None:
        points, ring_ends, ends = array('f'), array('q', [0]), array('q', [0])
        self._runs: dict[int, dict] = {}
        for i, outline in enumerate(outlines):
            if isinstance(outline, dict):
                self._runs[i] = outline
            else:
                for ring in outline:
                    points.extend(ring)
                    ring_ends.append(len(points))
            ends.append(len(ring_ends) - 1)
        self._points = np.array(points, np.float32)
        self._ring_ends = np.array(ring_ends, np.int64)
        self._ends = np.array(ends, np.int64)

    def mask(
        self,
        i: int,
        box: tuple[int, int, int, int],
        scale: tuple[float, float],
    ) -> np.ndarray:
        """That of outline i within a box (x1, y1, x2, y2).

        The box is one of an image whose width and height are ``scale`` times
        those of the annotated one.
        """
        masks = _pycocotools()
        x1, y1, x2, y2 = box
        if i in self._runs:
            runs = self._runs[i]
            if isinstance(runs['counts'], list):
                runs = masks.frPyObjects(runs, *runs['size'])
            whole = masks.decode(runs) * np.uint8(255)
            if scale != (1, 1):
                size = [round(n * s) for n, s in zip(whole.shape[::-1], scale)]
                whole = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
            return whole[y1:y2, x1:x2]
        rings = self._ring_ends[self._ends[i] : self._ends[i + 1] + 1]
        polygons = [
            (self._points[a:b].reshape(-1, 2) * scale - [x1, y1]).ravel()
            for a, b in zip(rings[:-1], rings[1:])
        ]
        lists = [polygon.tolist() for polygon in polygons]
        parts = masks.frPyObjects(lists, y2 - y1, x2 - x1)
        return masks.decode(masks.merge(parts)) * np.uint8(255)


def is_outline(value: object) -> bool:
    """Whether a ``segmentation`` is a mask that COCO describes."""
    if isinstance(value, dict):
        return {'counts', 'size'} <= set(value)
    if not isinstance(value, list) or not value:
        return False
    return all(
        isinstance(ring, list)
        and len(ring) >= 6
        and len(ring) % 2 == 0
        and all(isinstance(n, (int, float)) for n in ring)
        for ring in value
    )


def _pycocotools() -> ModuleType:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError(
            'masks of COCO need pycocotools: pip install pycocotools'
        ) from error
    return mask
