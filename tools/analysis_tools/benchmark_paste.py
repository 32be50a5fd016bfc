"""Pasting an outlier into each image against the straight way.

Run by ``benchmark.py seg --parts paste``. Objects have an outline of 40
corners in a JPEG of 640 x 480, as COCO's; images are 480 x 360.
"""

from __future__ import annotations

import json
import os.path as osp
from collections.abc import Callable

import cv2
import numpy as np
from timing import compare

from mmood.generation import random_outline
from mmood.registry import TRANSFORMS

IMAGES, OBJECTS, TURN = 100, 400, 20
SIZE = (360, 480)


def write_objects(folder: str) -> dict:
    """A COCO file with its images; its source of objects."""
    rng = np.random.default_rng(0)
    annotations = []
    for i in range(IMAGES):
        small = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        image = cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(osp.join(folder, f'{i}.jpg'), image)
    for i in range(OBJECTS):
        width, height = np.exp(rng.uniform(np.log(40), np.log(300), 2))
        outline, _ = random_outline(rng, ('blob',))
        x, y = rng.uniform(2, (636 - width, 476 - height))
        points = outline[::2] * (width, height) + (x, y)
        annotations.append(
            dict(
                id=i + 1,
                image_id=i % IMAGES,
                category_id=1,
                bbox=[x, y, width, height],
                segmentation=[points.ravel().tolist()],
                area=float(cv2.contourArea(points.astype(np.float32))),
                iscrowd=0,
            )
        )
    content = dict(
        images=[
            dict(id=i, file_name=f'{i}.jpg', width=640, height=480)
            for i in range(IMAGES)
        ],
        categories=[dict(id=1, name='thing')],
        annotations=annotations,
    )
    with open(osp.join(folder, 'a.json'), 'w', encoding='utf-8') as file:
        json.dump(content, file)
    return dict(
        type='mmood.CocoObjects',
        ann_file=osp.join(folder, 'a.json'),
        img_prefix=folder,
        id_classes=['road'],
    )


def pasters(source: dict, folder: str) -> tuple[Callable, Callable]:
    """``TURN`` images each; direct: whole images and masks, hard edges."""
    transform = TRANSFORMS.build(
        dict(
            type='mmood.PasteOutliers',
            source=source,
            prob=1.0,
            area=(0.005, 0.1),
            match=0.5,
        )
    )
    from pycocotools.coco import COCO

    coco = COCO(osp.join(folder, 'a.json'))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    labels = rng.integers(0, 11, SIZE, dtype=np.uint8)
    turn = iter(range(10**9))

    def ours() -> None:
        for _ in range(TURN):
            name = f'{next(turn)}.png'
            transform(dict(img=image, gt_seg_map=labels, img_path=name))

    def direct() -> None:
        for _ in range(TURN):
            one = coco.anns[int(rng.integers(OBJECTS)) + 1]
            path = osp.join(folder, f'{one["image_id"]}.jpg')
            mask, picture = coco.annToMask(one), cv2.imread(path)
            share = np.exp(rng.uniform(np.log(0.005), np.log(0.1)))
            scale = min((share * labels.size / one['area']) ** 0.5, 0.75)
            picture = cv2.resize(picture, None, fx=scale, fy=scale)
            mask = cv2.resize(mask, picture.shape[1::-1])
            ys, xs = np.nonzero(mask)
            h, w = np.ptp(ys) + 1, np.ptp(xs) + 1
            where = (
                slice(ys.min(), ys.min() + h),
                slice(xs.min(), xs.min() + w),
            )
            mask, picture = mask[where], picture[where]
            y, x = (rng.integers(n - m + 1) for n, m in zip(SIZE, (h, w)))
            to = slice(y, y + h), slice(x, x + w)
            copy, label = image.copy(), labels.copy()
            copy[to] = np.where(mask[..., None] > 0, picture, copy[to])
            label[to][mask > 0] = 254

    return ours, direct


def rows(folder: str, runs: int) -> list[list]:
    """Lines of the table, of one image: from COCO, read anew or not, drawn."""
    coco, table = write_objects(folder), []
    for name, source in (
        ('paste from COCO, all read anew', dict(coco, cache_bytes=0)),
        ('paste from COCO', coco),
        ('paste what is drawn', dict(type='mmood.DrawnObjects')),
    ):
        pair = pasters(source, folder)
        for _ in range(1 + OBJECTS // TURN if source is coco else 1):
            pair[0]()  # fills a cache
        row = compare(name, *pair, runs, 'cpu', 1)
        table.append([name, row[1] / TURN, row[2] / TURN, row[3]])
    return table
