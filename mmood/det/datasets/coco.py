"""COCO-style sets that know what they are and refuse to be half right."""

from __future__ import annotations

import json
import os.path as osp
from collections.abc import Sequence

from mmdet.datasets import CocoDataset

from mmood.registry import DATASETS

_CARRIED = ('origin', 'instances')


class _OriginCocoDataset(CocoDataset):
    """Mark each sample with ``origin``, the name of its set.

    The mark has to travel with the sample, because ``ConcatDataset`` keeps
    the metainfo of its first set only. The pipeline's packing transform is
    told to carry it, and the annotated boxes, to the metric.
    """

    origin: str

    def full_init(self) -> None:
        super().full_init()
        packers = [
            transform
            for transform in self.pipeline.transforms
            if hasattr(transform, 'meta_keys')
        ]
        for packer in packers:
            missing = [k for k in _CARRIED if k not in packer.meta_keys]
            packer.meta_keys = (*packer.meta_keys, *missing)

    def parse_data_info(self, raw_data_info: dict) -> dict:
        info = super().parse_data_info(raw_data_info)
        info['origin'] = self.origin
        return info


@DATASETS.register_module()
class IDCocoDataset(_OriginCocoDataset):
    """In-distribution set in COCO format, the stock one with its eyes open.

    ``CocoDataset`` drops annotations of classes it was not given, and shifts
    all labels when it was given a class that the file does not have. Here
    both are errors; ``ignore_other_classes=True`` permits the first, to
    train on a part of a file's classes.
    Raises FileNotFoundError or ValueError with the file and the remedy.
    """

    origin = 'id'

    def __init__(
        self, *args, ignore_other_classes: bool = False, **kwargs
    ) -> None:
        self.ignore_other_classes = ignore_other_classes
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        content = read_coco_json(self.ann_file)
        check_classes(
            content,
            self.metainfo['classes'],
            self.ann_file,
            self.ignore_other_classes,
        )
        return super().load_data_list()


@DATASETS.register_module()
class OODCocoDataset(_OriginCocoDataset):
    """Out-of-distribution test set in COCO format, under a name.

    All categories of the file count as objects to find, whatever their
    names; the classes of the detector do not matter here.
    Raises FileNotFoundError or ValueError with the file and the remedy.
    """

    def __init__(self, *args, name: str, **kwargs) -> None:
        if not name or name == IDCocoDataset.origin or '/' in name:
            raise ValueError(
                f'name of an OOD set must be a word without "/" and not '
                f'"id", got {name!r}'
            )
        self.origin = name
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        content = read_coco_json(self.ann_file)
        names = tuple(c['name'] for c in content['categories'])
        self._metainfo['classes'] = names
        return super().load_data_list()


def read_coco_json(path: str) -> dict:
    """Read a COCO annotation file with the keys that detection needs.

    Raises FileNotFoundError if it is missing and ValueError if it is not
    JSON, lacks a key, or an annotation points to an image or a category
    that the file does not list.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'annotation file {path} does not exist; check data_root and '
            'ann_file of the dataset'
        )
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except ValueError as error:
        raise ValueError(f'{path} is not valid JSON: {error}') from error
    keys = ('images', 'annotations', 'categories')
    missing = (
        [k for k in keys if k not in content]
        if isinstance(content, dict)
        else list(keys)
    )
    if missing:
        raise ValueError(f'{path} is no COCO file: it has no {missing}')
    _check_references(content, path)
    return content


def _check_references(content: dict, path: str) -> None:
    images = {image['id'] for image in content['images']}
    categories = {category['id'] for category in content['categories']}
    for ann in content['annotations']:
        if ann['category_id'] not in categories:
            raise ValueError(
                f'{path}: annotation {ann["id"]} has category_id '
                f'{ann["category_id"]}, which is not in "categories"'
            )
        if ann['image_id'] not in images:
            raise ValueError(
                f'{path}: annotation {ann["id"]} has image_id '
                f'{ann["image_id"]}, which is not in "images"'
            )


def check_classes(
    content: dict,
    classes: Sequence[str],
    path: str,
    ignore_other_classes: bool = False,
) -> None:
    """Compare the classes of a config with the categories of a file.

    Raises ValueError if the file lacks one of them, or if annotated
    categories are not among them and ``ignore_other_classes`` is False.
    """
    names = {c['id']: c['name'] for c in content['categories']}
    absent = [c for c in classes if c not in names.values()]
    if absent:
        raise ValueError(
            f'{path} has no category {absent}; it has '
            f'{sorted(names.values())}. Correct metainfo.classes'
        )
    used = {names[ann['category_id']] for ann in content['annotations']}
    others = sorted(used - set(classes))
    if others and not ignore_other_classes:
        raise ValueError(
            f'{path} has boxes of {others}, which are not in '
            'metainfo.classes; add them, or set ignore_other_classes=True '
            'to leave them out'
        )
