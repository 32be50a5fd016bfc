"""COCO-style sets of which a detector sees only some classes.

Labels go by name: label i is the i-th of ``metainfo.classes``, in every file.
The stock set numbers them in the order of the file, which is another one in
VOC's and in COCO's, so that two files would not agree on what label 3 is.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

from mmood.registry import DATASETS

from .coco import _OriginCocoDataset, check_classes, read_coco_json


def split_steps(steps: Sequence[Sequence[str]]) -> list[list[str]]:
    """The classes of each step of incremental learning, checked.

    Raises ValueError if there is no step, an empty one, or a class that is
    named twice, in one step or in two.
    """
    if isinstance(steps, str) or any(isinstance(s, str) for s in steps):
        raise ValueError(
            f'steps must be lists of class names, one a step, got {steps!r}'
        )
    result = [list(step) for step in steps]
    empty = [i for i, names in enumerate(result) if not names]
    if empty or not result:
        raise ValueError(
            f'steps must hold a class each, got {result}: '
            + (f'steps {empty} are empty' if empty else 'there is no step')
        )
    first: dict[str, int] = {}
    for i, names in enumerate(result):
        for name in names:
            if name in first:
                raise ValueError(
                    f'steps overlap: {name!r} is in step {first[name]} and '
                    f'in step {i}; name every class once'
                )
            first[name] = i
    return result


class _NamedCocoDataset(_OriginCocoDataset):
    """Objects of some categories of the file, under labels of our choice."""

    def category_labels(self, content: dict) -> dict:
        """Category id -> label, for the categories that are kept."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        content = read_coco_json(self.ann_file)
        self._labels = self.category_labels(content)
        return super().load_data_list()

    def parse_data_info(self, raw_data_info: dict) -> dict:
        # The stock set has just numbered the categories in its way. It reads
        # both when it parses an image, the ids also when it drops images.
        self.cat2label, self.cat_ids = self._labels, list(self._labels)
        return super().parse_data_info(raw_data_info)

    def filter_data(self) -> list[dict]:
        infos = self.chosen(super().filter_data())
        if not infos:
            raise ValueError(
                f'{self.ann_file}: no image is left, of '
                f'{len(self.data_list)} in the file; see filter_cfg and the '
                'classes that are kept'
            )
        return infos

    def chosen(self, infos: list[dict]) -> list[dict]:
        """Those of the images that ``filter_cfg`` leaves; here all."""
        return infos


@DATASETS.register_module()
class OpenSetCocoDataset(_NamedCocoDataset):
    """Set in COCO format in which objects of unknown classes may be.

    The K classes of ``metainfo`` are known. Objects of any other category
    get the label K with ``unknown='label'``, for tests, and are left out with
    ``unknown='drop'``, for training. ``name`` becomes the ``origin`` of the
    samples: 'id' for the closed-set part, any other word for an open set.
    ``missing_ok=True`` permits known classes that the file does not have.
    Raises FileNotFoundError or ValueError with the file and the remedy; also
    if a training set has objects that would get the label K, which is not
    one to train on.
    """

    def __init__(
        self,
        *args,
        name: str = 'id',
        unknown: str = 'label',
        missing_ok: bool = False,
        **kwargs,
    ) -> None:
        if not name or '/' in name:
            raise ValueError(
                f'name of a set must be a word without "/", got {name!r}'
            )
        if unknown not in ('label', 'drop'):
            raise ValueError(
                f"unknown must be 'label' or 'drop', got {unknown!r}"
            )
        self.origin = name
        self.unknown = unknown
        self.missing_ok = missing_ok
        super().__init__(*args, **kwargs)

    def category_labels(self, content: dict) -> dict:
        known = list(self.metainfo['classes'])
        if not self.missing_ok:
            check_classes(content, known, self.ann_file, True)
        if self.unknown == 'label' and not self.test_mode:
            check_all_known(content, known, self.ann_file)
        labels = {name: label for label, name in enumerate(known)}
        return {
            category['id']: labels.get(category['name'], len(known))
            for category in content['categories']
            if category['name'] in labels or self.unknown == 'label'
        }


def check_all_known(content: dict, known: Sequence[str], path: str) -> None:
    """Raises ValueError if annotated categories are not among ``known``."""
    names = {c['id']: c['name'] for c in content['categories']}
    used = {names[ann['category_id']] for ann in content['annotations']}
    unknown = sorted(used - set(known))
    if unknown:
        raise ValueError(
            f'{path} has boxes of the unknown classes {unknown}, and label '
            f'{len(known)} is not one to train on; leave them out with '
            "unknown='drop', or set test_mode=True for a test set"
        )


@DATASETS.register_module()
class ClassStepCocoDataset(_NamedCocoDataset):
    """ID set in COCO format as a step of class-incremental learning sees it.

    ``steps`` are the class names that each step adds, and their
    concatenation is ``metainfo.classes`` (which may be left out). Kept are
    the objects of the classes of step number ``step``, or with ``seen=True``
    of all steps up to it; those of other classes stay in the images without
    annotation. Images in which nothing is kept are dropped by
    ``filter_cfg=dict(filter_empty_gt=True)``, from training sets only.

    With ``exemplars=n`` only n images of every kept class are left: those
    in which the class is annotated, drawn with ``seed`` and the class's name.
    A class keeps its images in every step, and has n of them in a store of
    n + 1. All of them, with a warning, if there are fewer.

    Raises FileNotFoundError or ValueError with the file and the remedy.
    """

    origin = 'id'

    def __init__(
        self,
        *,
        steps: Sequence[Sequence[str]],
        step: int = 0,
        seen: bool = False,
        exemplars: int | None = None,
        seed: int = 0,
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        self.steps = split_steps(steps)
        if not 0 <= step < len(self.steps):
            raise ValueError(
                f'step must be from 0 to {len(self.steps) - 1}, the last of '
                f'steps, got {step}'
            )
        if exemplars is not None and exemplars < 1:
            raise ValueError(
                'exemplars must be a number of images from 1 up, or None '
                f'for all images, got {exemplars}'
            )
        self.kept = sum(self.steps[0 if seen else step : step + 1], [])
        self.exemplars = exemplars
        self.seed = seed
        classes = sum(self.steps, [])
        metainfo = {'classes': classes, **(metainfo or {})}
        if list(metainfo['classes']) != classes:
            raise ValueError(
                'metainfo.classes must be the classes of steps in their '
                f'order, {classes}, got {list(metainfo["classes"])}; it may '
                'be left out'
            )
        super().__init__(metainfo=metainfo, **kwargs)

    def category_labels(self, content: dict) -> dict:
        classes = self.metainfo['classes']
        check_classes(content, classes, self.ann_file, True)
        return {
            category['id']: classes.index(category['name'])
            for category in content['categories']
            if category['name'] in self.kept
        }

    def chosen(self, infos: list[dict]) -> list[dict]:
        if self.exemplars is None:
            return infos
        stored = set()
        for name in self.kept:
            label = self.metainfo['classes'].index(name)
            images = [i['img_id'] for i in infos if has_object(i, label)]
            stored |= self._draw(name, images)
        return [info for info in infos if info['img_id'] in stored]

    def _draw(self, name: str, images: list) -> set:
        if len(images) < self.exemplars:
            warnings.warn(
                f'{self.ann_file}: exemplars={self.exemplars} images are '
                f'wanted of class {name!r} and {len(images)} are there; all '
                'of them are taken',
                stacklevel=2,
            )
        images = sorted(images, key=str)
        random.Random(f'{self.seed} {name}').shuffle(images)
        return set(images[: self.exemplars])


def has_object(info: dict, label: int) -> bool:
    """Whether an object with this label, not an ignored one, is in it."""
    return any(
        instance['bbox_label'] == label and not instance['ignore_flag']
        for instance in info['instances']
    )
