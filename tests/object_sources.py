"""Objects to paste: a COCO file with masks, pictures with alpha."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as masks

COLOURS = dict(cat=(10, 200, 30), dog=(200, 40, 90), car=(60, 60, 250))
SIZE = (60, 80)  # H, W of the images


def polygon(x: float, y: float, w: float, h: float) -> list[float]:
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def run_lengths(box: tuple, compressed: bool = True) -> dict:
    """Of a rectangle (x, y, w, h)."""
    x, y, w, h = box
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[y : y + h, x : x + w] = 1
    if compressed:
        found = masks.encode(mask)
        return dict(found, counts=found['counts'].decode())
    flat = mask.ravel('F')
    ends = np.flatnonzero(np.diff(flat)) + 1
    return dict(counts=np.diff([0, *ends, flat.size]).tolist(), size=[*SIZE])


def write_objects(
    root: Path, objects: list[dict], names: tuple = tuple(COLOURS)
) -> Path:
    """A COCO file; an object is its ``image``, ``name``, ``box`` and more.

    Boxes have the colour of their class on grey.
    """
    files = sorted({one['image'] for one in objects})
    pixels = {name: np.full((*SIZE, 3), 128, np.uint8) for name in files}
    annotations = []
    for i, one in enumerate(objects):
        x, y, w, h = one['box']
        pixels[one['image']][y : y + h, x : x + w] = COLOURS[one['name']]
        own = dict(segmentation=[polygon(*one['box'])], area=w * h, iscrowd=0)
        own.update({k: one[k] for k in one if k in own})
        annotations.append(
            dict(
                id=i + 1,
                image_id=files.index(one['image']),
                category_id=names.index(one['name']),
                bbox=[x, y, w, h],
                **own,
            )
        )
    for name, image in pixels.items():
        cv2.imwrite(str(root / name), image)
    content = dict(
        images=[
            dict(id=i, file_name=name, height=SIZE[0], width=SIZE[1])
            for i, name in enumerate(files)
        ],
        categories=[dict(id=i, name=name) for i, name in enumerate(names)],
        annotations=annotations,
    )
    path = root / 'instances.json'
    path.write_text(json.dumps(content))
    return path


def one(name: str, box: tuple = (20, 10, 30, 20), **more) -> dict:
    return dict(dict(image='a.png', name=name, box=box), **more)


def write_cutout(path: Path, size: tuple = (20, 30), solid: bool = True):
    """A red ellipse on transparent green, (h, w, 4)."""
    image = np.zeros((*size, 4), np.uint8)
    image[..., 1] = 255
    if solid:
        centre = size[1] // 2, size[0] // 2
        axes = size[1] // 2 - 2, size[0] // 2 - 2
        cv2.ellipse(image, centre, axes, 0, 0, 360, (0, 0, 255, 255), -1)
    cv2.imwrite(str(path), image)
