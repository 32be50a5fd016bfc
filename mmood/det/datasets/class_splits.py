"""COCO-style sets of which a detector sees only some classes."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

from mmood.registry import DATASETS

from .coco import OriginCocoDataset


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


def check_unknown(unknown: str) -> None:
    """Raise ValueError unless it says what becomes of unknown objects."""
    if unknown not in ('label', 'drop'):
        raise ValueError(f"unknown must be 'label' or 'drop', got {unknown!r}")


@DATASETS.register_module()
class OpenSetCocoDataset(OriginCocoDataset):
    """Set in COCO format in which objects of unknown classes may be.

    The K classes of ``metainfo`` are known. Objects of any other category
    get the label K with ``unknown='label'``, for tests, and are left out with
    ``unknown='drop'``, for training. ``name`` is 'id' for the closed-set
    part. A training set with objects that would get the label K, which is
    not one to train on, is refused.
    """

    def __init__(self, *args, unknown: str = 'label', **kwargs) -> None:
        check_unknown(unknown)
        super().__init__(*args, others=unknown, **kwargs)


@DATASETS.register_module()
class ClassStepCocoDataset(OriginCocoDataset):
    """ID set in COCO format as a step of class-incremental learning sees it.

    ``steps`` are the class names that each step adds, and their
    concatenation is ``metainfo.classes`` (which may be left out). Kept are
    the objects of the classes of step number ``step``, or with ``seen=True``
    of all steps up to it; those of other classes stay in the images without
    annotation, or with ``unknown='label'``, for tests, get the label K, the
    number of classes of all steps. Images in which nothing is kept are
    dropped by ``filter_cfg=dict(filter_empty_gt=True)``, from training sets
    only.

    With ``exemplars=n`` only n images of every kept class are left: those
    in which the class is annotated, drawn with ``seed`` and the class's name.
    A class keeps its images in every step, and has n of them in a store of
    n + 1. All of them, with a warning, if there are fewer.
    """

    def __init__(
        self,
        *,
        steps: Sequence[Sequence[str]],
        step: int = 0,
        seen: bool = False,
        exemplars: int | None = None,
        seed: int = 0,
        unknown: str = 'drop',
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
        kept = sum(self.steps[0 if seen else step : step + 1], [])
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
        check_unknown(unknown)
        if unknown == 'label' and not kwargs.get('test_mode'):
            raise ValueError(
                f"unknown='label' gives objects the label {len(classes)}, "
                'which is not one to train on: set test_mode=True for a test '
                "set, or unknown='drop'"
            )
        super().__init__(
            metainfo=metainfo, others=unknown, kept=kept, **kwargs
        )

    def chosen(self, infos: list[dict]) -> list[dict]:
        infos = super().chosen(infos)
        if self.exemplars is None:
            return infos
        stored: set = set()
        for name in self.kept or ():
            label = self.metainfo['classes'].index(name)
            images = [i['img_id'] for i in infos if has_object(i, label)]
            stored |= self._draw(name, images, self.exemplars)
        return [info for info in infos if info['img_id'] in stored]

    def _draw(self, name: str, images: list, count: int) -> set:
        if len(images) < count:
            warnings.warn(
                f'{self.ann_file}: exemplars={count} images are '
                f'wanted of class {name!r} and {len(images)} are there; all '
                'of them are taken',
                stacklevel=2,
            )
        images = sorted(images, key=str)
        random.Random(f'{self.seed} {name}').shuffle(images)
        return set(images[:count])


def has_object(info: dict, label: int) -> bool:
    """Whether an object with this label, not an ignored one, is in it."""
    return any(
        instance['bbox_label'] == label and not instance['ignore_flag']
        for instance in info['instances']
    )
