"""Cutting the objects in annotated boxes out of their images.

Shapes: images (H, W, 3) uint8 RGB, cutouts (h, w, 4) uint8 RGBA.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from mmood.ops import atomic_write, read_coco

from .crops import Box, clip_box, padded_box
from .procedural import object_alpha
from .records import is_outside, read_image

_ROOM = 0.15  # around a box, which shows GrabCut what is not the object
_SHARES = (0.2, 0.92)  # of its box that an object fills


def cut_object(image: np.ndarray, box: Box) -> np.ndarray | None:
    """The object of a box, (h, w, 4), by GrabCut; None if none is clear.

    The largest connected part, cut to its size. It is clear if it fills from
    20 to 92 % of the box: less is a part of the object, more the box.
    """
    height, width = image.shape[:2]
    around = padded_box(box, width, height, _ROOM)
    rows, columns = slice(*around[1::2]), slice(*around[::2])
    crop = np.ascontiguousarray(image[rows, columns])
    mask = np.zeros(crop.shape[:2], bool)
    x1, y1, x2, y2 = np.subtract(box, [*around[:2]] * 2)
    mask[y1:y2, x1:x2] = True
    if mask.all() or min(mask.shape) < 3:
        return None
    alpha = np.rint(object_alpha(crop, mask) * 255).astype(np.uint8)
    count, parts, facts, _ = cv2.connectedComponentsWithStats(
        (alpha >= 128).astype(np.uint8)
    )
    if count < 2:
        return None
    largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    left, top, wide, high, area = facts[largest]
    if not _SHARES[0] <= area / mask.sum() <= _SHARES[1]:
        return None
    near = cv2.dilate((parts == largest).astype(np.uint8), np.ones((3, 3)))
    cutout = np.dstack([crop, alpha * near])
    return cutout[top : top + high, left : left + wide]


def cut_objects(
    ann_file: Path, img_root: Path, out: Path, min_side: int = 24
) -> Counter[str]:
    """Write the objects of a COCO file as PNG to a folder; what came of all.

    Of a file with ``ood`` flags those flagged, as Dream-Box writes it,
    otherwise all; but for crowds, and for boxes with a side below
    ``min_side`` pixels. Their names are CLASS_ID.png. Raises ValueError for
    a file whose images lie outside of ``img_root``, and as `read_coco` and
    `read_image` do.
    """
    coco = read_coco(ann_file)
    names = {one['id']: one['name'] for one in coco['categories']}
    images = {one['id']: one for one in coco['images']}
    has_flags = any('ood' in one for one in coco['annotations'])
    found: Counter[str] = Counter()
    seen: tuple[object, np.ndarray] = (None, np.empty(0))
    for one in sorted(coco['annotations'], key=lambda a: str(a['image_id'])):
        if one['iscrowd'] or (has_flags and not one.get('ood')):
            continue
        record = images[one['image_id']]
        box = clip_box(one['bbox'], record['width'], record['height'])
        if min(box[2] - box[0], box[3] - box[1]) < min_side:
            found['too small'] += 1
            continue
        if seen[0] != record['id']:
            seen = record['id'], _image(record, img_root)
        cutout = cut_object(seen[1], box)
        if cutout is None:
            found['not clear'] += 1
            continue
        name = names[one['category_id']].replace('/', '-').replace(' ', '-')
        _write(out / f'{name}_{one["id"]}.png', cutout)
        found['written'] += 1
    return found


def _image(record: Mapping, img_root: Path) -> np.ndarray:
    if is_outside(record['file_name']):
        raise ValueError(
            f'image {record["id"]} has the file_name {record["file_name"]!r}, '
            f'which leads out of {img_root}'
        )
    path = img_root / record['file_name']
    return read_image(path, record['width'], record['height'])


def _write(path: Path, cutout: np.ndarray) -> None:
    _, content = cv2.imencode('.png', cutout[..., [2, 1, 0, 3]])
    with atomic_write(path, 'wb') as file:
        file.write(content.tobytes())
