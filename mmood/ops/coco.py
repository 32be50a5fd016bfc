"""Reading and checking COCO annotation files.

A box is ``[x, y, w, h]`` in pixels, continuous, 0-based. What is used
although it is not as COCO describes it, and how:

==========================  =============================================
annotation without an id    numbered from 1, if none of them has one
``area`` missing or 0       that of the box: COCO's is of the mask
``iscrowd`` missing         0
ids that are words          kept, if all ids of the list are words
box without a whole pixel   kept here, named by `coco_problems`; training
or outside of its image     leaves it out (COCO's own files have some)
box that sticks out         kept here, named by `coco_problems`
==========================  =============================================

All else that is not as COCO describes it is refused. null is missing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

from .coco_records import (
    FIELDS,
    CocoProblem,
    box_problem,
    is_id,
    other_format,
    record_problems,
    shorten,
)

# Kinds of problems, in the order of reports. Those of a file are refused,
# or named to whoever asks.
REFUSED = {
    'bad_records': 'records with a field that is missing or wrong',
    'bad_boxes': 'boxes that are not four numbers in pixels',
    'duplicate_ids': 'ids, or names of categories, that are there twice',
    'unknown_ids': 'annotations of an unknown image or category',
}
NAMED = {
    'no_images': 'no image at all',
    'empty_boxes': 'boxes without a whole pixel, or outside of their image',
    'protruding_boxes': 'boxes that stick out of their image',
    'repeated_files': 'files that are listed as several images',
}


def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file.

    Raises FileNotFoundError if there is no such file and ValueError, with
    its name, if it is no JSON that can be read.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'there is no file {path}; check the path (of a dataset: '
            'data_root and ann_file)'
        )
    try:
        with open(path, encoding='utf-8-sig') as file:
            return json.load(file)
    except RecursionError as error:
        raise ValueError(f'{path} is nested too deeply to be read') from error
    except ValueError as error:
        raise ValueError(
            f'{path} is not valid JSON: {error}; make or fetch it again'
        ) from error


def read_coco(path: str | os.PathLike) -> dict:
    """The content of a COCO detection file, made complete.

    Every annotation has ``id``, ``iscrowd`` and ``area``, see the table
    above. Raises FileNotFoundError if there is no such file, and ValueError
    with the file, the record, the value and the remedy for the first problem
    of the kinds `REFUSED`, and with the number of further ones.
    """
    content = read_json(path)
    wrong = [p.text for p in coco_problems(content) if p.kind in REFUSED]
    if wrong:
        more = f' ({len(wrong) - 1} more such problems in this file; '
        more += 'tools/dataset_converters/verify.py lists them)'
        raise ValueError(
            f'{path}: {wrong[0]}' + (more if len(wrong) > 1 else '')
        )
    complete(content)
    return content


def complete(content: dict) -> None:
    """Fill in what annotations that are not refused may lack, in place."""
    for number, annotation in enumerate(content['annotations'], 1):
        if annotation.get('id') is None:
            annotation['id'] = number
        if not annotation.get('area'):
            _, _, width, height = annotation['bbox']
            annotation['area'] = width * height
        annotation['iscrowd'] = int(annotation.get('iscrowd') or 0)


def coco_problems(
    content: Any, tolerance: float = 1.0
) -> Iterator[CocoProblem]:
    """All that is wrong with the content of a COCO detection file.

    The kinds are those of `REFUSED` and `NAMED`. A text names the record,
    the value and the remedy, not the file. Boxes may stick out of their
    image by ``tolerance`` pixels, as COCO's do.
    """
    lists = [k for k in FIELDS if isinstance(content, dict) and k in content]
    absent = [k for k in FIELDS if k not in lists]
    if absent:
        text = f'is no COCO file: it has no {absent}; add them, as lists'
        yield CocoProblem('bad_records', text)
        return
    wrong = [k for k in FIELDS if not isinstance(content[k], list)]
    if wrong:
        text = f'is no COCO file: {wrong[0]} is {shorten(content[wrong[0]])}'
        yield CocoProblem('bad_records', f'{text}, not a list')
        return
    if not content['images']:
        yield CocoProblem('no_images', 'the list "images" is empty')
    images = yield from _check_records('images', content['images'])
    categories = yield from _check_records('categories', content['categories'])
    boxes = yield from _check_records('annotations', content['annotations'])
    yield from _check_names(categories)
    yield from _check_files(images)
    yield from _check_references(content, boxes)
    yield from _check_boxes(images, boxes, tolerance)


def _check_records(
    key: str, records: list
) -> Generator[CocoProblem, None, list]:
    """Problems of single records and of their ids; returns sound records."""
    fields, sound = dict(FIELDS[key]), []
    if key == 'annotations' and not any(map(_has_id, records)):
        del fields['id']
    for index, record in enumerate(records):
        wrong = list(record_problems(f'{key}[{index}]', record, fields))
        yield from wrong
        if not wrong:
            sound.append(record)
    if 'id' in fields:
        yield from _check_ids(key, [record['id'] for record in sound])
    return sound


def _has_id(record: object) -> bool:
    return isinstance(record, dict) and record.get('id') is not None


def _check_ids(key: str, ids: list) -> Iterator[CocoProblem]:
    words = [i for i in ids if isinstance(i, str)]
    if words and len(words) < len(ids):
        number = next(i for i in ids if not isinstance(i, str))
        yield CocoProblem(
            'bad_records',
            f'{key}: some ids are words, such as {shorten(words[0])}, some '
            f'are numbers, such as {number}; make them of one kind',
        )
    for value, count in Counter(ids).items():
        if count > 1:
            yield CocoProblem(
                'duplicate_ids',
                f'{key}: the id {shorten(value)} is there {count} times; '
                'number them anew, as after putting two files together',
            )


def _check_names(categories: list[dict]) -> Iterator[CocoProblem]:
    owners: dict[str, list] = {}
    for category in categories:
        owners.setdefault(category['name'], []).append(category['id'])
    for name, ids in owners.items():
        if len(ids) > 1:
            yield CocoProblem(
                'duplicate_ids',
                f'categories: {shorten(name)} is the name of the ids '
                f'{shorten(ids)}; make one category of them, or rename or '
                'remove all but one',
            )


def _check_files(images: list[dict]) -> Iterator[CocoProblem]:
    counts = Counter(image['file_name'] for image in images)
    for name, count in counts.items():
        if count > 1:
            text = f'{shorten(name)} is listed as {count} images'
            yield CocoProblem('repeated_files', text)


def _check_references(
    content: dict, annotations: list[dict]
) -> Iterator[CocoProblem]:
    for key, field in (('images', 'image_id'), ('categories', 'category_id')):
        ids = [record['id'] for record in content[key] if _has_id(record)]
        known = set(filter(is_id, ids))
        for annotation in annotations:
            if annotation[field] not in known:
                yield CocoProblem(
                    'unknown_ids',
                    f'{_label(annotation)} has the {field} '
                    f'{shorten(annotation[field])}, which is not in "{key}"; '
                    'add it there or remove the annotation',
                )


def _label(annotation: dict) -> str:
    number = annotation.get('id')
    if number is None:
        return f'the annotation with the box {annotation["bbox"]}'
    return f'annotation {shorten(number)}'


def _check_boxes(
    images: list[dict], annotations: list[dict], tolerance: float
) -> Iterator[CocoProblem]:
    """Boxes against the sizes of their images."""
    by_id = {image['id']: image for image in images}
    placed = []
    for annotation in annotations:
        image, box = by_id.get(annotation['image_id']), annotation['bbox']
        if image is None:
            continue
        size = image['width'], image['height']
        placed.append((box, *size))
        problem = box_problem(box, *size, tolerance)
        if problem:
            where = f'{_label(annotation)} in {shorten(image["file_name"])}: '
            where += f'the box {box} '
            yield CocoProblem(problem[0], where + problem[1])
    text = other_format(placed)
    if text:
        yield CocoProblem('bad_boxes', text)
