"""What is left of a mining for people and other programs.

``unknown.json`` is COCO's, as CVAT ("COCO 1.0") and the converter of Label
Studio's SDK read it: ``segmentation`` is there and empty, ids count from 1,
``attributes`` is one flat dict. The categories beside ``unknown`` have no box
yet: they are what people may turn one into. Shapes: N boxes that are kept.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mmood.ops import atomic_write

from .gallery import write_gallery
from .groups import Groups
from .shards import Shard, ShardFolder, chosen_boxes

UNKNOWN, BACKGROUND, KNOWN = 'unknown', 'background', 'known: '
_PER_FOLDER = 1000  # crops
_COLUMNS = (
    *('id', 'group', 'place', 'file_name', 'x', 'y', 'width', 'height'),
    *('ood_score', 'confidence', 'taken_for', 'crop'),
)
_ROW = np.dtype(
    [
        ('image', np.int64),
        ('box', np.float32, 4),
        ('confidence', np.float32),
        ('ood_score', np.float32),
        ('label', np.int64),
    ]
)


def write_results(
    out: str | Path,
    shards: ShardFolder,
    names: Sequence[str],
    classes: Sequence[str],
    group: Callable[[np.ndarray], Groups],
    *,
    top: int | None = None,
    info: dict,
) -> tuple[np.ndarray, Groups]:
    """Write crops, ``unknown.json``, ``unknown.csv`` and ``index.html``.

    Args:
        names: of all images, relative to their folder, in the shards' order.
        classes: of the detector.
        group: makes groups of features (N, C), which stay on disk.
        top: how many boxes are kept; None: all.
        info: what ``unknown.json`` says of how it was made.

    Returned are the rows (N,), with fields ``image``, ``box``, ... , and
    their groups. What an earlier call left is replaced.
    """
    out = Path(out)
    rows = _write_features(out, shards, top)
    features = np.load(out / 'features.npy', mmap_mode='r')
    groups = group(features)
    _write_crops(out, shards, top)
    boxes = _Records(rows, groups, names, classes)
    sizes = ((int(w), int(h)) for shard in shards for w, h in shard.sizes)
    write_coco(out / 'unknown.json', names, sizes, boxes, classes, info)
    _write_csv(out / 'unknown.csv', boxes)
    write_gallery(out / 'index.html', boxes, info)
    return rows, groups


def _kept(
    shards: ShardFolder, top: int | None
) -> Iterator[tuple[Shard, np.ndarray]]:
    yield from zip(shards, chosen_boxes(shards, top))


def _write_features(
    out: Path, shards: ShardFolder, top: int | None
) -> np.ndarray:
    """``features.npy`` (N, C) float16; all else of the boxes, (N,)."""
    parts, width = [], 0
    for shard, kept in _kept(shards, top):
        rows = np.zeros(len(kept), _ROW)
        rows['image'], rows['box'] = shard.image[kept], shard.boxes[kept]
        for name in ('confidence', 'ood_score', 'label'):
            rows[name] = getattr(shard, name)[kept]
        parts.append(rows)
        width = max(width, shard.features.shape[1])
    found = np.concatenate(parts) if parts else np.zeros(0, _ROW)
    with atomic_write(out / 'features.npy', 'wb') as file:
        shape = dict(shape=(len(found), width), fortran_order=False)
        np.lib.format.write_array_header_1_0(file, dict(shape, descr='<f2'))
        for shard, kept in _kept(shards, top):
            file.write(shard.features[kept].astype('<f2').tobytes())
    return found


def crop_name(number: int) -> str:
    return f'crops/{number // _PER_FOLDER:04d}/{number:07d}.jpg'


def _write_crops(out: Path, shards: ShardFolder, top: int | None) -> None:
    shutil.rmtree(out / 'crops', ignore_errors=True)
    number = 0
    for shard, kept in _kept(shards, top):
        for box in kept:
            number += 1
            path = out / crop_name(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(shard.crop(box))


class _Records(Sequence):
    """A dict for each box, made when it is asked for."""

    def __init__(
        self,
        rows: np.ndarray,
        groups: Groups,
        names: Sequence[str],
        classes: Sequence[str],
    ) -> None:
        self._rows, self._groups = rows, groups
        self._names, self._classes = names, dict(enumerate(classes))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place):
        row = self._rows[place]
        x1, y1, x2, y2 = (round(float(v), 2) for v in row['box'])
        return dict(
            id=place + 1,
            image=int(row['image']),
            file_name=self._names[row['image']],
            bbox=[x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
            group=int(self._groups.labels[place]),
            place=int(self._groups.places[place]),
            ood_score=float(row['ood_score']),
            confidence=float(row['confidence']),
            taken_for=self._classes.get(int(row['label']), 'object'),
            crop=crop_name(place + 1),
        )


def write_coco(
    path: Path,
    names: Sequence[str],
    sizes: Iterable[tuple[int, int]],
    boxes: Sequence[dict],
    classes: Sequence[str],
    info: dict,
) -> None:
    """Written record by record; images that cannot be read are left out."""
    categories = [UNKNOWN, BACKGROUND, *(f'{KNOWN}{c}' for c in classes)]
    head = dict(
        info=info,
        licenses=[],
        categories=[
            dict(id=i, name=name, supercategory='')
            for i, name in enumerate(categories, 1)
        ],
    )
    images = (
        dict(id=i, file_name=name, width=width, height=height)
        for i, (name, (width, height)) in enumerate(zip(names, sizes), 1)
        if width
    )
    with atomic_write(path) as file:
        file.write(json.dumps(head)[:-1])
        for key, records in (
            ('images', images),
            ('annotations', map(_annotation, boxes)),
        ):
            file.write(f',\n"{key}": [')
            for number, record in enumerate(records):
                file.write(',\n' if number else '\n')
                file.write(json.dumps(record, allow_nan=False))
            file.write(']')
        file.write('}\n')


def _annotation(box: dict) -> dict:
    """COCO's, with what CVAT keeps as attributes."""
    kept = ('group', 'place', 'ood_score', 'taken_for', 'crop')
    _, _, width, height = box['bbox']
    return dict(
        id=box['id'],
        image_id=box['image'] + 1,
        category_id=1,
        bbox=box['bbox'],
        area=round(width * height, 2),
        iscrowd=0,
        segmentation=[],
        score=box['confidence'],
        ood_score=box['ood_score'],
        attributes={key: box[key] for key in kept},
    )


def _write_csv(path: Path, boxes: Sequence[dict]) -> None:
    with atomic_write(path, newline='') as file:
        table = csv.DictWriter(file, _COLUMNS, extrasaction='ignore')
        table.writeheader()
        for box in boxes:
            corner = dict(zip(('x', 'y', 'width', 'height'), box['bbox']))
            table.writerow({**box, **corner})
