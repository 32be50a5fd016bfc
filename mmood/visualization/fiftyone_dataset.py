"""Predictions with OOD scores as a dataset of FiftyOne."""

from __future__ import annotations

import json
import os
import os.path as osp
from collections import defaultdict
from types import ModuleType

from mmood.ops import read_coco


def write_dataset(
    name: str, results: str, annotations: str, images: str
) -> object:
    """Make a persistent dataset of FiftyOne; the dataset.

    Args:
        name: of the dataset, which must not be there yet.
        results: file of `mmood.OODResultsFile`, such as ``far.bbox.json``.
        annotations: COCO json of the set that was tested.
        images: folder that its file names begin at.

    Samples have ``ground_truth`` and ``predictions``; of these each has the
    attributes ``ood_score`` and ``is_ood``. Made under the name
    ``NAME.partial`` and renamed when it is whole. Raises ImportError without
    the package, ValueError for a name that is taken.
    """
    library = _fiftyone()
    if library.dataset_exists(name):
        raise ValueError(
            f'FiftyOne has a dataset {name!r}: choose another name, or '
            f'delete it with fiftyone.delete_dataset({name!r})'
        )
    partial = f'{name}.partial'
    if library.dataset_exists(partial):
        library.delete_dataset(partial)
    dataset = library.Dataset(partial)
    dataset.add_samples(_samples(library, results, annotations, images))
    dataset.name = name
    dataset.persistent = True
    return dataset


def _samples(
    library: ModuleType, results: str, annotations: str, images: str
) -> list:
    content = read_coco(annotations)
    with open(results, encoding='utf-8') as file:
        found = _by_image(json.load(file))
    objects = _by_image(content['annotations'])
    names = {one['id']: one['name'] for one in content['categories']}
    samples = []
    for image in content['images']:
        path = osp.abspath(osp.join(os.fspath(images), image['file_name']))
        sample = library.Sample(filepath=path)
        for field, boxes in (
            ('ground_truth', objects),
            ('predictions', found),
        ):
            sample[field] = library.Detections(
                detections=[
                    _detection(library, box, image, names)
                    for box in boxes[image['id']]
                ]
            )
        samples.append(sample)
    return samples


def _by_image(boxes: list[dict]) -> dict[int, list[dict]]:
    found = defaultdict(list)
    for box in boxes:
        found[box['image_id']].append(box)
    return found


def _detection(
    library: ModuleType, box: dict, image: dict, names: dict[int, str]
) -> object:
    """FiftyOne's boxes are x, y, width, height by the size of the image."""
    x, y, width, height = box['bbox']
    wide, high = image['width'], image['height']
    extra = {key: box[key] for key in ('ood_score', 'is_ood') if key in box}
    if 'score' in box:
        extra['confidence'] = box['score']
    return library.Detection(
        label=box.get('category', names.get(box['category_id'], 'unknown')),
        bounding_box=[x / wide, y / high, width / wide, height / high],
        **extra,
    )


def _fiftyone() -> ModuleType:
    try:
        import fiftyone
    except ImportError as error:
        raise ImportError(
            'this needs the package fiftyone: pip install "mmood[fiftyone]"'
        ) from error
    return fiftyone
