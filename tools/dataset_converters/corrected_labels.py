"""The boxes of a file that came back from an annotation tool.

Tools number images and boxes anew, change the folders in names, and Label
Studio keeps no attributes: images are told by their names and boxes by their
places.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

import numpy as np
from coco_json import fail

from mmood.metrics.boxes import box_iou
from mmood.mining.results import UNKNOWN
from mmood.ops.coco_records import box_problem

SAME = 0.5  # IoU of two boxes of one object
_UPLOAD = re.compile(r'^[0-9a-f]{8}-')  # what Label Studio puts before names


class ImageNames:
    """Finds the mined image that a file name of an annotation tool means.

    Tools put folders or addresses before the name, or leave folders out.
    """

    def __init__(self, images: Sequence[dict]) -> None:
        self._by_name = {image['file_name']: image for image in images}
        self._by_end: dict[tuple, list[dict]] = defaultdict(list)
        for image in images:
            parts = PurePosixPath(image['file_name']).parts
            for start in range(len(parts)):
                self._by_end[parts[start:]].append(image)

    def __call__(self, name: str) -> dict | None:
        """None for none; ends the tool if it may be one of several."""
        name = unquote(name.replace('\\', '/').rsplit('?d=', 1)[-1])
        if name in self._by_name:
            return self._by_name[name]
        parts = PurePosixPath(name).parts
        for last in (parts[-1], _UPLOAD.sub('', parts[-1])):
            for start in range(len(parts)):
                found = self._by_end.get((*parts[start:-1], last), [])
                if len(found) > 1:
                    names = [image['file_name'] for image in found[:3]]
                    fail(
                        f'{name} may be any of {", ".join(names)}: keep the '
                        'folders in the names'
                    )
                if found:
                    return found[0]
        return None


def corners(records: Sequence[dict]) -> np.ndarray:
    """(n, 4) of COCO boxes."""
    boxes = np.array([r['bbox'] for r in records], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def by_image(coco: dict) -> dict:
    found = defaultdict(list)
    for record in coco['annotations']:
        found[record['image_id']].append(record)
    return found


def matched_images(corrected: dict, mined: dict) -> dict:
    """Mined image of each corrected one, by the latter's id."""
    find, found, taken = ImageNames(mined['images']), {}, set()
    for image in corrected['images']:
        name, own = image['file_name'], find(image['file_name'])
        if own is None:
            fail(
                f'{name} was not mined: take it out of the corrected file, '
                'or give the unknown.json that it is in as --mined'
            )
        sizes = [(i['width'], i['height']) for i in (image, own)]
        if sizes[0] != sizes[1]:
            fail(
                f'{name} is {sizes[0]} pixels, and was {sizes[1]} when it was '
                'mined: its boxes are of another picture'
            )
        if own['id'] in taken:
            fail(f'{name} is there twice: keep one')
        taken.add(own['id'])
        found[image['id']] = own
    return found


def mined_places(boxes: Sequence[dict], mined: Sequence[dict]) -> np.ndarray:
    """Of corrected boxes (n,) the place of the mined box, -1 for a new one.

    The one that overlaps most, by half at least.
    """
    if not boxes or not mined:
        return np.full(len(boxes), -1)
    overlap = box_iou(corners(boxes)[:, None], corners(mined)[None])
    return np.where(overlap.max(1) >= SAME, overlap.argmax(1), -1)


def group_of(box: dict, mined: dict | None) -> int | None:
    """As the tool kept it, in the box's attributes, or of the mined box."""
    for one in (box, mined or {}):
        value = (one.get('attributes') or {}).get('group')
        try:
            return int(float(value))
        except (TypeError, ValueError):
            continue
    return None


def named_boxes(
    corrected: dict, mined: dict, images: dict, groups: dict[int, str]
) -> tuple[list[tuple[dict, dict, str]], Counter]:
    """(mined image, box, name) of all boxes, and counts for the report."""
    names = {c['id']: c['name'] for c in corrected['categories']}
    theirs, ours = by_image(corrected), by_image(mined)
    found: list[tuple[dict, dict, str]] = []
    notes: Counter = Counter()
    notes['images removed'] = len(mined['images']) - len(images)
    for number, image in images.items():
        before = ours[image['id']]
        places = mined_places(theirs[number], before)
        notes['boxes removed'] += len(before) - len(set(places) - {-1})
        notes['boxes drawn anew'] += int((places < 0).sum())
        for box, place in zip(theirs[number], places):
            name = names[box['category_id']]
            check_box(box, image)
            group = group_of(box, before[place] if place >= 0 else None)
            if name.strip().casefold() == UNKNOWN and group in groups:
                name = groups[group]
                notes[f'boxes named by their group {group}'] += 1
            found.append((image, box, name))
    return found, notes


def check_box(box: dict, image: dict) -> None:
    problem = box_problem(box['bbox'], image['width'], image['height'])
    if problem:
        fail(
            f'annotation {box["id"]} in {image["file_name"]}: the box '
            f'{box["bbox"]} {problem[1]}: correct or remove it'
        )
