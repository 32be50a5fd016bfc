"""The files that generation reads and writes.

A folder holds ``images/<stem>_<image id>.png``, one ``records/<image
id>.json`` per source image, written after its picture, and, merged from the
records, ``annotations.json``. A source image whose record stands is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PureWindowsPath

import cv2
import numpy as np

from mmood.ops import NotWrittenError, atomic_write, read_coco, read_json
from mmood.ops.coco_records import shorten

_MOST_LETTERS = 50  # of a source's name, as names of files end at 255 bytes


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an RGB image (H, W, 3) uint8."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    ok, content = cv2.imencode('.png', image[..., ::-1], options)
    if not ok:
        raise NotWrittenError(f'cannot encode {path} as PNG')
    with atomic_write(path, 'wb') as file:
        file.write(content.tobytes())


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


def read_source(path: Path, allow_outside: bool = False) -> dict:
    """A COCO dictionary whose ids are whole numbers, for the seeds.

    Raises as `read_coco` does, and ValueError for other ids and, unless
    ``allow_outside``, for an image that can lie outside of its folder.
    """
    coco = read_coco(path)
    for key in ('images', 'annotations'):
        for item in coco[key]:
            if not isinstance(item['id'], int) or item['id'] < 0:
                raise ValueError(
                    f'{path}: {key} has the id {shorten(item["id"])}; seeds '
                    'are made from ids, number them from 0 up'
                )
    for image in coco['images']:
        if not allow_outside and is_outside(image['file_name']):
            raise ValueError(
                f'{path}: image {image["id"]} has the file_name '
                f'{shorten(image["file_name"])}, which leads out of '
                'data.img_root; set data.allow_outside=True if you trust '
                'the file'
            )
    return coco


def is_outside(file_name: str) -> bool:
    """Whether a name, joined to a folder, can lead out of it."""
    path = PureWindowsPath(file_name)  # knows both kinds of slashes
    return bool(path.anchor) or '..' in path.parts


def by_image(coco: Mapping) -> dict[int, list[dict]]:
    """The annotations of each image, in the order of the file."""
    groups: dict[int, list[dict]] = {one['id']: [] for one in coco['images']}
    for annotation in coco['annotations']:
        groups[annotation['image_id']].append(annotation)
    return groups


def picture_name(image: Mapping) -> str:
    stem = Path(image['file_name']).stem[:_MOST_LETTERS]
    return f'images/{stem}_{image["id"]}.png'


def record_path(out: Path, image_id: int) -> Path:
    return out / 'records' / f'{image_id}.json'


def read_record(out: Path, image_id: int) -> dict | None:
    """The record of a source image; None if it has to be made (again).

    That is so if there is none, if it is damaged, if its picture is gone,
    and if it says that the source image could not be read, which then has
    no annotations.
    """
    try:
        record = read_json(record_path(out, image_id))
    except (OSError, ValueError):
        return None
    if not _is_whole(record):
        return None
    image = record['image']
    if image is not None and not (out / image['file_name']).is_file():
        return None
    return record


def _is_whole(record: object) -> bool:
    """Whether a record holds all that is read of it later."""
    kinds: dict[str, type | tuple[type, ...]] = dict(
        image=(dict, type(None)), annotations=list, skipped=dict,
        discarded=list, given_up=int, seconds=(int, float),
    )  # fmt: skip
    if not isinstance(record, dict) or not all(
        key in record and isinstance(record[key], kind)
        for key, kind in kinds.items()
    ):
        return False
    name = (record['image'] or {}).get('file_name', '')
    return isinstance(name, str) and not is_outside(name)


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
