"""What generation reads and leaves on the disk: COCO in, records, COCO out.

A folder holds ``images/<stem>_<image id>.png``, one ``records/<image
id>.json`` per source image, written after its picture, and, merged from the
records, ``annotations.json``. A source image whose record stands is done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from mmood.ops import NotWrittenError, atomic_write

# What the records of a COCO file need. Seeds are made from the ids.
_FIELDS = dict(
    images=dict(id=int, file_name=str, width=int, height=int),
    annotations=dict(id=int),
    categories=dict(id=int, name=str),
)


def write_json(path: Path, content: object) -> None:
    text = json.dumps(content, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an RGB image (H, W, 3) uint8."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    ok, content = cv2.imencode('.png', image[..., ::-1], options)
    if not ok:
        raise NotWrittenError(f'cannot encode {path} as PNG')
    with atomic_write(path, 'wb') as file:
        file.write(content.tobytes())


def read_json(path: Path) -> object:
    return json.loads(path.read_text(encoding='utf-8'))


def read_image(path: Path, width: int, height: int) -> np.ndarray:
    """An image (H, W, 3) uint8 RGB.

    Raises FileNotFoundError if there is none, ValueError if it cannot be
    read or has another size than the annotations say.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist')
    image = None
    with suppress(OSError, cv2.error):
        content = np.fromfile(path, np.uint8)
        if not _is_cut_jpeg(content.tobytes()):
            image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path} is no readable image')
    if image.shape[:2] != (height, width):
        raise ValueError(
            f'{path} has {image.shape[1]} x {image.shape[0]} pixels, but its '
            f'annotation says {width} x {height}'
        )
    return np.ascontiguousarray(image[..., ::-1])


def _is_cut_jpeg(content: bytes) -> bool:
    """Whether the end marker of a JPEG is missing.

    OpenCV 4 fills the missing part with grey instead of failing.
    """
    start, scan, end = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
    return content[:2] == start and content.rfind(end) < content.rfind(scan)


def read_source(path: Path) -> dict:
    """A COCO dictionary whose ids are whole numbers and unique.

    NaN and infinity, which are no JSON but get written, are None in it.
    Raises FileNotFoundError if there is no such file, ValueError if it is
    not what it should be.
    """
    if not path.is_file():
        raise FileNotFoundError(f'data.ann_file: {path} does not exist')
    try:
        text = path.read_text(encoding='utf-8')
        coco = json.loads(text, parse_constant=lambda _: None)
    except ValueError as error:
        raise ValueError(f'{path} is not valid json: {error}') from error
    for key, fields in _FIELDS.items():
        if not isinstance(coco, dict) or not isinstance(coco.get(key), list):
            raise ValueError(f'{path} is no COCO file: it has no list {key!r}')
        _check_items(path, key, coco[key], fields)
    _check_references(path, coco)
    return coco


def _check_items(path: Path, key: str, items: list, fields: dict) -> None:
    for item in items:
        for name, kind in fields.items():
            value = item.get(name) if isinstance(item, dict) else None
            if not isinstance(value, kind) or (kind is int and value < 0):
                raise ValueError(
                    f'{path}: in {key} each must have as {name!r} a '
                    f'{kind.__name__}{" >= 0" if kind is int else ""}, got '
                    f'{value!r}'
                )
    ids = Counter(item['id'] for item in items)
    twice = [number for number, count in ids.items() if count > 1]
    if twice:
        raise ValueError(f'{path}: {key} has the id {twice[0]} more than once')


def _check_references(path: Path, coco: dict) -> None:
    for name, key in (('image_id', 'images'), ('category_id', 'categories')):
        known = {item['id'] for item in coco[key]}
        for annotation in coco['annotations']:
            if annotation.get(name) not in known:
                raise ValueError(
                    f'{path}: annotation {annotation["id"]} has the {name} '
                    f'{annotation.get(name)}, which is not in {key!r}'
                )


def by_image(coco: Mapping) -> dict[int, list[dict]]:
    """The annotations of each image, in the order of the file."""
    groups = {image['id']: [] for image in coco['images']}
    for annotation in coco['annotations']:
        groups[annotation['image_id']].append(annotation)
    return groups


def picture_name(image: Mapping) -> str:
    return f'images/{Path(image["file_name"]).stem}_{image["id"]}.png'


def record_path(out: Path, image_id: int) -> Path:
    return out / 'records' / f'{image_id}.json'


def read_record(out: Path, image_id: int) -> dict | None:
    """The record of a source image; None if it has to be made (again).

    That is so if there is none, if it is damaged, if its picture is gone,
    and if it says that the source image could not be read.
    """
    try:
        record = read_json(record_path(out, image_id))
        image = record['image']
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if 'error' in record:
        return None
    if image is not None and not (out / image['file_name']).is_file():
        return None
    return record


def merge(records: Iterable[Mapping], source: Mapping, info: dict) -> dict:
    """One COCO dictionary of the images that were painted, by image id."""
    painted = [record for record in records if record['image'] is not None]
    painted.sort(key=lambda record: record['image']['id'])
    kept = {k: source[k] for k in ('licenses', 'categories') if k in source}
    return dict(
        info=info,
        images=[record['image'] for record in painted],
        annotations=[a for record in painted for a in record['annotations']],
        **kept,
    )
