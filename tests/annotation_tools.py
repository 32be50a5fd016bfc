"""COCO files as annotation tools read and write them.

CVAT ("COCO 1.0", by Datumaro) asks for ``id``, ``image_id``, ``category_id``,
``bbox``, ``iscrowd`` and ``segmentation`` of an annotation, takes an empty
``segmentation`` for a rectangle, the category 0 for none, and keeps
``attributes`` that a label of the task has. Label Studio's converter makes
tasks of the images, with boxes in per cent; its export cuts numbers to whole
pixels, counts all ids from 0, keeps no attributes and leaves out images
without a box. By the documentation of both, not by their code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath


def read_as_cvat(content: dict, attributes: Sequence[str] = ()) -> dict:
    """Name of an image without its suffix -> its rectangles.

    Each has ``label``, ``points`` and the ``attributes`` that the labels of
    the task know.
    """
    labels = {}
    for category in content['categories']:
        assert type(category['id']) is int and type(category['name']) is str
        labels[category['id']] = category['name']
    images, frames = {}, {}
    for image in content['images']:
        for key in ('id', 'width', 'height'):
            assert type(image[key]) is int
        images[image['id']] = image
        frames[str(PurePosixPath(image['file_name']).with_suffix(''))] = []
    assert len(frames) == len(images)
    for one in content['annotations']:
        assert type(one['id']) is int and type(one['iscrowd']) is int
        assert isinstance(one['segmentation'], list)
        assert not one['segmentation']  # else a polygon
        assert one['category_id'] > 0
        x, y, w, h = map(float, one['bbox'])
        own = one.get('attributes', {})
        assert all(isinstance(v, (str, int, float)) for v in own.values())
        name = images[one['image_id']]['file_name']
        frame = frames[str(PurePosixPath(name).with_suffix(''))]
        frame.append(
            dict(
                label=labels[one['category_id']],
                points=[x, y, x + w, y + h],
                attributes={k: own[k] for k in attributes if k in own},
            )
        )
    return frames


def write_as_cvat(frames: dict, sizes: dict, suffix: str = '.png') -> dict:
    """Its export: numbers of its own, names in the order of the labels."""
    found = [box for boxes in frames.values() for box in boxes]
    names = sorted({box['label'] for box in found})
    images, annotations = [], []
    for name, boxes in frames.items():
        width, height = sizes[name]
        images.append(
            dict(
                id=len(images) + 1,
                width=width,
                height=height,
                file_name=name + suffix,
                license=0,
                flickr_url='',
                coco_url='',
                date_captured=0,
            )
        )
        for box in boxes:
            x1, y1, x2, y2 = box['points']
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=len(images),
                    category_id=names.index(box['label']) + 1,
                    segmentation=[],
                    area=round((x2 - x1) * (y2 - y1), 2),
                    bbox=[x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                    iscrowd=0,
                    attributes=dict(box['attributes'], occluded=False),
                )
            )
    categories = [
        dict(id=i, name=name, supercategory='')
        for i, name in enumerate(names, 1)
    ]
    return dict(
        licenses=[dict(name='', id=0, url='')],
        info=dict(contributor='', date_created='', description=''),
        categories=categories,
        images=images,
        annotations=annotations,
    )


def read_as_label_studio(content: dict, root: str) -> list[dict]:
    """Tasks with an ``image`` address and rectangles in per cent."""
    names = {int(c['id']): c['name'] for c in content['categories']}
    images = {image['id']: image for image in content['images']}
    tasks = {
        number: dict(data=dict(image=root + image['file_name']), boxes=[])
        for number, image in images.items()
    }
    for one in content['annotations']:
        image = images[one['image_id']]
        width, height = image['width'], image['height']
        x, y, w, h = one['bbox']
        assert not one.get('segmentation')  # else a polygon beside it
        tasks[one['image_id']]['boxes'].append(
            dict(
                x=100 * x / width,
                y=100 * y / height,
                width=100 * w / width,
                height=100 * h / height,
                label=names[int(one['category_id'])],
                original_width=width,
                original_height=height,
            )
        )
    return [tasks[number] for number in sorted(tasks)]


def write_as_label_studio(tasks: list[dict], labels: Sequence[str]) -> dict:
    """Its export as COCO."""
    labels = sorted(labels)
    images, annotations = [], []
    for task in tasks:
        if not task['boxes']:
            continue
        width = task['boxes'][0]['original_width']
        height = task['boxes'][0]['original_height']
        images.append(
            dict(
                width=width,
                height=height,
                id=len(images),
                file_name=task['data']['image'],
            )
        )
        for box in task['boxes']:
            x, w = (int(box[k] / 100 * width) for k in ('x', 'width'))
            y, h = (int(box[k] / 100 * height) for k in ('y', 'height'))
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=images[-1]['id'],
                    category_id=labels.index(box['label']),
                    segmentation=[],
                    bbox=[x, y, w, h],
                    ignore=0,
                    iscrowd=0,
                    area=w * h,
                )
            )
    return dict(
        images=images,
        categories=[dict(id=i, name=n) for i, n in enumerate(labels)],
        annotations=annotations,
        info=dict(contributor='Label Studio', version='1.0'),
    )
