"""COCO's classes and a small json of them, for voc_coco.py."""

from __future__ import annotations

from mmdet.datasets import CocoDataset

COCO_CLASSES = CocoDataset.METAINFO['classes']
# 1: of group 1. 2: of groups 1 and 2. 3: of group 3. Person, or no unknown.
IMAGES = (
    ['truck'],
    ['truck', 'car', 'car'],
    ['bench', 'pizza'],
    ['bench', 'person'],
    ['cup', 'dog'],
    ['car'],
    [],
    ['pizza', 'pizza'],
)


def make_coco(*images, start=1, names=COCO_CLASSES, **changes):
    """A json; an image for each list of names. ``changes``: by object id."""
    coco = {
        'images': [
            dict(id=i, file_name=f'{i:012}.jpg', width=64, height=48)
            for i, _ in enumerate(images, start)
        ],
        'annotations': [],
        'categories': [dict(id=i, name=n) for i, n in enumerate(names, 11)],
    }
    for image, of in zip(coco['images'], images):
        for name in of:
            coco['annotations'].append(
                dict(
                    id=100 * start + len(coco['annotations']),
                    image_id=image['id'],
                    category_id=11 + list(names).index(name),
                    bbox=[1, 2, 30, 20],
                    area=400,
                    iscrowd=0,
                    segmentation=[[1, 2, 31, 2, 31, 22]],
                )
            )
    for key, values in changes.items():
        for annotation in coco['annotations']:
            if annotation['id'] in values:
                annotation[key] = values[annotation['id']]
    return coco


def image_ids(coco: dict) -> list[int]:
    return [image['id'] for image in coco['images']]
